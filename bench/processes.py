"""What /proc tells of a process, by its id."""
import pathlib


def processor_seconds(pid):
    # As its threads have run: more exact than the ticks of `stat`.
    return (
        sum(
            int(task.joinpath('schedstat').read_text().split()[0])
            for task in pathlib.Path(f'/proc/{pid}/task').iterdir()
        )
        / 1e9
    )


def memory(pid, which):
    """kB: VmRSS now, VmHWM at most so far."""
    return next(
        int(line.split()[1])
        for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines()
        if line.startswith(which)
    )
