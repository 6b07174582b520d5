"""What the programs write of themselves: manual pages, the completions of bash and zsh, examples
of files. Each option that --help names is completed, by the shells themselves, and explained.
"""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import unittest

from house import BUILD

PROGRAMS = {
    'fatwal': BUILD / 'client/fatwal',
    'fatwald': BUILD / 'sidecar/fatwald',
    'fatwal-channel': BUILD / 'portal/process/fatwal-channel',
}
# Asks bash what it would complete a line with.
BASH = '''
. "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
compopt() { :; }
"$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')"
printf '%s\\n' "${COMPREPLY[@]}"
'''
# What zsh reads before it is asked: in a completion `compadd` prints what it is given.
ZSH = r"""
PROMPT= RPROMPT=
fpath=($1 $fpath)
autoload -U compinit && compinit -D -u
print_all() {
    compadd() {
        local -a hits
        # Such a call only asks which of some words fit.
        [[ ${@[1,(i)(-|--)]} == *-[OAD]\ * ]] || { builtin compadd -A hits "$@"
            (( $#hits )) && print -rl -- "=> "$^hits }
        builtin compadd "$@"
    }
    print
    _main_complete
    unfunction compadd
    print "=> END"
    exit
}
zle -C print_all complete-word print_all
bindkey '^I' print_all
print "=> READY"
"""


def help_of(program, path):
    done = subprocess.run(
        [PROGRAMS[program], *path, '--help'], capture_output=True, text=True, check=True
    )
    return done.stdout


def options_in(text):
    return set(re.findall(r'^  (?:-\w,)?(--[\w-]+)', text, re.M))


def commands_in(text):
    _, _, commands = text.partition('\nSubcommands:\n')
    return re.findall(r'^  (\w+)  ', commands, re.M) or re.findall(r'^  (\w+)$', commands, re.M)


def walk(program, path=()):
    """The paths of all commands of a program, the program itself first."""
    yield path
    for command in commands_in(help_of(program, path)):
        yield from walk(program, (*path, command))


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='fatwal-'))
        for program in PROGRAMS.values():
            subprocess.run([program, '--generate', cls.folder], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def bash(self, *words):
        file = self.folder / 'bash-completion/completions' / words[0]
        done = subprocess.run(
            ['bash', '-c', BASH, 'bash', file, *words], capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stderr, '')
        return set(done.stdout.split())

    def zsh(self, line):
        """What an interactive zsh behind a terminal offers for a line."""
        setup = self.folder / 'setup.zsh'
        setup.write_text(ZSH.replace('$1', str(self.folder / 'zsh/site-functions')))
        child, terminal = pty.fork()
        if child == 0:
            os.execvp('zsh', ['zsh', '-f', '-i'])
        try:
            os.write(terminal, f'source {setup}\n'.encode())
            self.read_until(terminal, '=> READY')
            os.write(terminal, f'{line}\t'.encode())
            shown = self.read_until(terminal, '=> END')
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(terminal)
        return set(re.findall(r'=> (\S+)', shown)) - {'END', 'READY'}

    def read_until(self, terminal, end):
        shown = ''
        while end not in shown:
            ready, _, _ = select.select([terminal], [], [], 60)
            self.assertTrue(ready, shown)
            shown += os.read(terminal, 65536).decode(errors='replace')
        return shown

    def test_bash_completes_each_option_and_command(self):
        for program in PROGRAMS:
            for path in walk(program):
                text = help_of(program, path)
                self.assertIn('--help', options_in(text), (program, path))
                completed = self.bash(program, *path, '')
                self.assertLessEqual(options_in(text), completed, (program, path))
                self.assertLessEqual(set(commands_in(text)), completed, (program, path))

    def test_bash_completes_values(self):
        self.assertEqual(self.bash('fatwal', 'tail', '--format', ''), {'json', 'text'})
        self.assertEqual(self.bash('fatwal', 'tail', '--format', '=', 'j'), {'json'})
        self.assertEqual(self.bash('fatwal', 'tail', '--format', '='), {'json', 'text'})
        self.assertEqual(self.bash('fatwald', '--layout', 's'), {'shared'})
        self.assertEqual(self.bash('fatwald', '--database', ''), set())
        self.assertIn('rds', self.bash('fatwal', 'init', '--all-tables', '--provider', ''))
        # The value of an option is no command.
        self.assertIn('--name', self.bash('fatwal', 'durable', '--control', 'x', 'forget', '--'))

    @unittest.skipUnless(shutil.which('zsh'), 'there is no zsh')
    def test_zsh_completes_each_option_and_command(self):
        for program in PROGRAMS:
            for path in walk(program):
                text = help_of(program, path)
                words = ' '.join((program, *path))
                self.assertLessEqual(options_in(text), self.zsh(f'{words} --'), words)
                commands = set(commands_in(text))
                if commands:
                    self.assertLessEqual(commands, self.zsh(f'{words} '), words)
        self.assertEqual(self.zsh('fatwal tail --format '), {'json', 'text'})

    def test_each_option_and_command_has_its_page(self):
        for program in PROGRAMS:
            section = 1 if program == 'fatwal' else 8
            for path in walk(program):
                name = '-'.join((program, *path))
                page = (self.folder / f'man/man{section}/{name}.{section}').read_text()
                page = page.replace('\\-', '-')
                for option in options_in(help_of(program, path)):
                    self.assertIn(f'\\fB{option}\\fR', page, name)
                for command in commands_in(help_of(program, path)):
                    self.assertIn(f'\\fB{name}-{command}\\fR({section})', page, name)
                self.assertRegex(page, r'\.SH NAME\n\S+ - \w', name)

    def test_a_folder_that_cannot_be_written_is_an_error(self):
        for name, program in PROGRAMS.items():
            done = subprocess.run(
                [program, '--generate', '/proc/nowhere'], capture_output=True, text=True
            )
            self.assertNotEqual(done.returncode, 0, name)
            self.assertIn('cannot write /proc/nowhere/', done.stderr, name)


if __name__ == '__main__':
    unittest.main()
