"""The progress of a study: one line for all runs, whatever machines they are on."""

from threading import Lock

from tqdm import tqdm


class Progress:
    """Shows how many of `runs` runs are done, running and failed, and the time left at the speed so far."""

    def __init__(self, runs: int):
        self.bar = tqdm(total=runs, desc="runs", unit="run", smoothing=0, mininterval=1)
        self.running: set[str] = set()
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}  # run or seed -> reason
        self.lock = Lock()

    def tell(self, line: str) -> None:
        """Takes a line of `pipeline.make_task`, from any thread. A run that is made again may be told again."""
        event, _, rest = line.partition(" ")
        run, _, reason = rest.partition(" ")
        with self.lock:
            self.running.discard(run)
            if event == "running":
                self.running.add(run)
            elif event == "done" and run not in self.done:
                self.done.add(run)
                self.bar.update()
            elif event == "failed":
                self.failed[run] = reason
            self.show()

    def fail(self, name: str, runs: list[str], reason: str) -> None:
        """A whole task has failed."""
        with self.lock:
            self.running.difference_update(runs)
            self.failed[name] = reason
            self.show()

    def show(self) -> None:
        self.bar.set_postfix_str(f"{len(self.running)} running, {len(self.failed)} failed")

    def close(self) -> None:
        self.bar.close()
