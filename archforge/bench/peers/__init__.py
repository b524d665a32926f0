"""Other engines that a benchmark times, a module each, which `worker.py` loads as a file.

A module says which of its `LIBRARIES` are imported before anything is timed, and the `DISTRIBUTION` whose
version is shown. `prepared(task)` makes the files that the engine loads, in a process that is over before any
contestant starts; an engine that needs no more than model.onnx and state.pt, which torch writes for all, has
none. `loaded(task)` gives a call that computes the outputs of the task's inputs. Modules import nothing when
they are loaded, and nothing of archforge.
"""

__all__: list[str] = []
