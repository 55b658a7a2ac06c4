"""A plugin for coverage.py that measures the requests which granian serves.

Coverage hooks into threads that Python starts. Granian's blocking threads are started in Rust, so on
Python below 3.12 nothing that happens on them would be counted. The plugin wraps granian's WSGI
entry: each request first installs, on its own thread, the trace function that Python's threads get.
"""

import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

TARGET = "granian.wsgi"


def trace_this_thread() -> None:
    """Install coverage's trace function where the thread was not started by Python."""
    hook = threading.gettrace()
    if hook is not None and sys.gettrace() is None:
        sys.settrace(hook)


def wrap_entry(module: ModuleType) -> None:
    """Replace granian's wrapper of the application by one that traces first."""
    original = module._callback_wrapper

    def _callback_wrapper(callback: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[..., Any]:
        def measured(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            trace_this_thread()
            return callback(environ, start_response)

        wrapped: Callable[..., Any] = original(measured, *arguments, **named)
        return wrapped

    module._callback_wrapper = _callback_wrapper  # type: ignore[attr-defined]


class EntryLoader(importlib.abc.Loader):
    """Loads the module as its own loader does, then wraps the entry."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self.inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Leave the making of the module to its own loader."""
        return self.inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then wrap its entry."""
        self.inner.exec_module(module)
        wrap_entry(module)


class EntryFinder(importlib.abc.MetaPathFinder):
    """Finds granian's WSGI module and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the module's spec with the wrapping loader; None for every other module."""
        if fullname != TARGET:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = EntryLoader(spec.loader)
        return spec


def coverage_init(registry: Any, options: dict[str, str]) -> None:
    """Called by coverage.py in every measured process, before the product is imported."""
    if TARGET in sys.modules:
        wrap_entry(sys.modules[TARGET])
    elif not any(isinstance(finder, EntryFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, EntryFinder())
