"""TLS to the database: a certificate authority of the test's own, and what fatwald says when a
certificate does not fit.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from house import House, until

DATA = pathlib.Path(os.environ['FATWAL_PGDATA'])


class Authority:
    """Signs certificates with openssl."""

    def __init__(self, folder, name):
        self.folder = folder
        self.key, self.certificate = folder / f'{name}.key', folder / f'{name}.crt'
        self.openssl(
            *('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj'),
            *(f'/CN={name}', '-keyout', self.key, '-out', self.certificate),
        )

    def openssl(self, *arguments):
        subprocess.run(['openssl', *arguments], check=True, capture_output=True)

    def sign(self, name, extension='basicConstraints=CA:FALSE'):
        """The files of a certificate for a name, and of its key."""
        request, extensions = self.folder / f'{name}.csr', self.folder / f'{name}.ext'
        key, certificate = self.folder / f'{name}.key', self.folder / f'{name}.crt'
        extensions.write_text(extension)
        self.openssl(
            *('req', '-newkey', 'rsa:2048', '-nodes', '-subj', f'/CN={name}'),
            *('-keyout', key, '-out', request),
        )
        self.openssl(
            *('x509', '-req', '-days', '2', '-CA', self.certificate, '-CAkey', self.key),
            *('-CAcreateserial', '-extfile', extensions, '-in', request, '-out', certificate),
        )
        key.chmod(0o600)
        return certificate, key


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='fatwal-tls-'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority = Authority(cls.folder, 'authority')
        cls.stranger = Authority(cls.folder, 'stranger')
        cls.server = cls.authority.sign('localhost', 'subjectAltName=DNS:localhost')

    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.close)
        self.role = self.house.role('REPLICATION')
        self.house.sql(
            'CREATE TABLE t (id int PRIMARY KEY, account_id int)',
            'ALTER TABLE t REPLICA IDENTITY FULL',
            'CREATE PUBLICATION p FOR TABLE t',
            f'GRANT USAGE ON SCHEMA fatwal TO {self.role}',
            (
                'GRANT SELECT, INSERT, UPDATE, DELETE ON fatwal.subscriber, fatwal.slot TO'
                f' {self.role}'
            ),
            f'GRANT SELECT ON fatwal.credential, fatwal.credential_grant, t TO {self.role}',
        )
        self.addCleanup(self.house.sql, f'DROP OWNED BY {self.role}')
        self.certificate, self.key = self.authority.sign(self.role)
        self.serve()

    def serve(self):
        """The server speaks TLS, and the role may come by it alone, with a certificate."""
        tls = DATA / 'tls'
        tls.mkdir(exist_ok=True)
        self.addCleanup(shutil.rmtree, tls)
        for source in (self.authority.certificate, *self.server):
            shutil.copy(source, tls)
        for path in (tls, *tls.iterdir()):
            path.chmod(0o700 if path == tls else 0o600)
            os.chown(path, DATA.stat().st_uid, DATA.stat().st_gid)
        rules = DATA / 'pg_hba.conf'
        before = rules.read_text()
        self.addCleanup(self.house.sql, 'SELECT pg_reload_conf()')
        for setting in ('ssl', 'ssl_ca_file', 'ssl_cert_file', 'ssl_key_file'):
            self.addCleanup(self.house.sql, f'ALTER SYSTEM RESET {setting}')
        self.addCleanup(rules.write_text, before)
        rules.write_text(
            f'hostssl all {self.role} all cert\nhost all {self.role} all reject\n{before}'
        )
        self.house.sql(
            "ALTER SYSTEM SET ssl_ca_file = 'tls/authority.crt'",
            "ALTER SYSTEM SET ssl_cert_file = 'tls/localhost.crt'",
            "ALTER SYSTEM SET ssl_key_file = 'tls/localhost.key'",
            'ALTER SYSTEM SET ssl = on',
            'SELECT pg_reload_conf()',
        )
        until(lambda: self.house.sql('SHOW ssl') == 'on', 'TLS')

    def conninfo(self, **settings):
        settings = {
            'host': 'localhost',
            'port': os.environ['PGPORT'],
            'dbname': self.house.database,
            'user': self.role,
            'sslmode': 'verify-full',
            'sslrootcert': self.authority.certificate,
            'sslcert': self.certificate,
            'sslkey': self.key,
        } | settings
        return ' '.join(f'{key}={value}' for key, value in settings.items())

    def assert_refused(self, *texts, **settings):
        """fatwald ends with the reason and what mends it, and has not connected."""
        process = self.house.fatwald(wait=False, database=self.conninfo(**settings))
        self.assertEqual(process.wait(60), 1, self.house.read('fatwald.err'))
        for text in texts:
            self.assertIn(text, self.house.read('fatwald.err'))

    def test_it_streams_with_both_certificates_checked(self):
        house = self.house
        house.sql('INSERT INTO t VALUES (1, 7)')
        house.fatwald(database=self.conninfo())
        house.tail('7', 'tail', '--snapshot', '--count', '2')
        house.sql('INSERT INTO t VALUES (2, 7)')
        self.assertEqual([e['new']['id'] for e in house.events('tail', 2)], [1, 2])
        sessions = house.sql(
            'SELECT backend_type, ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)'
            f' WHERE usename = \'{self.role}\''
        ).splitlines()
        self.assertIn(f'walsender|t|/CN={self.role}', sessions)
        self.assertIn(f'client backend|t|/CN={self.role}', sessions)
        self.assertEqual({line.split('|')[1] for line in sessions}, {'t'})

    def test_a_server_of_another_authority_is_refused(self):
        self.assert_refused(
            'certificate verify failed',
            'is not signed by the CA in sslrootcert',
            sslrootcert=self.stranger.certificate,
        )

    def test_a_server_with_another_name_is_refused(self):
        self.assert_refused(
            'does not match host name "db.internal"',
            "a name that the server's certificate has",
            host='db.internal',
            hostaddr='127.0.0.1',
        )

    def test_files_that_lack_or_are_for_others_too_are_named(self):
        missing = self.folder / 'missing'
        self.assert_refused(str(missing), 'hint: ', sslrootcert=missing)
        self.assert_refused('The server asks for a client certificate', sslcert=missing)
        self.assert_refused(str(missing), "Give the client's key", sslkey=missing)
        self.key.chmod(0o644)
        self.assert_refused('chmod 600', sslkey=self.key)

    def test_a_server_without_tls_is_refused(self):
        self.house.sql('ALTER SYSTEM SET ssl = off', 'SELECT pg_reload_conf()')
        until(lambda: self.house.sql('SHOW ssl') == 'off', 'no TLS')
        self.assert_refused('does not support SSL', 'Turn TLS on in the server')


if __name__ == '__main__':
    unittest.main()
