"""Results of `archforge check` in the XML of JUnit, which most services show as tests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

from archforge.analysis.network import Report
from archforge.cli.check_formats import base
from archforge.errors import Diagnostic, printable

__all__ = ["JunitWriter"]

# The counts that a suite has as attributes, and the elements that they count.
_COUNTED = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


@dataclass
class JunitWriter(base.ReportWriter):
    """A suite for each spec, in which every cell of every profile is a test."""

    suites: list[ElementTree.Element] = field(default_factory=list)

    def add(self, report: Report) -> None:
        if report.is_counted or report.diagnostics or report.warnings:
            self.suites.append(self._suite(report))

    def close(self, totals: base.Totals, *, ok: bool) -> None:
        root = ElementTree.Element("testsuites")
        root.extend(self.suites)
        for element in (*self.suites, root):
            for count, tag in _COUNTED.items():
                element.set(count, str(sum(1 for _ in element.iter(tag))))
        ElementTree.indent(root)
        print(ElementTree.tostring(root, "us-ascii", xml_declaration=True).decode())

    def _suite(self, report: Report) -> ElementTree.Element:
        """A suite whose first test is that the spec is well formed."""
        suite = ElementTree.Element("testsuite", name=_plain(report.name))
        refused = [*report.diagnostics, *(w for w in report.warnings if self.is_mistake(w))]
        spec = _test(suite, report, report.name, "spec")
        if refused:
            _outcome(spec, "error", *refused)
        if told := [w.render() for w in report.warnings if not self.is_mistake(w)]:
            ElementTree.SubElement(spec, "system-out").text = _plain("\n\n".join(told))
        unmet = iter(report.unmet)
        for network in report.networks:
            name = ".".join(filter(None, (report.name, network.spec.block, network.profile)))
            for cell in network.cells:
                test = _test(suite, report, name, cell.cell)
                if cell.problem:
                    _outcome(test, "failure", cell.problem)
            if not network.cells:
                _unchecked(_test(suite, report, name, "expect"), next(unmet, None))
        return suite


def _unchecked(test: ElementTree.Element, unmet: Diagnostic | None) -> None:
    """The outcome for a profile without documented figures: a failure where they are demanded."""
    if unmet:
        _outcome(test, "failure", unmet)
    else:
        ElementTree.SubElement(test, "skipped", message="the profile has no documented figures")


def _test(suite: ElementTree.Element, report: Report, group: str, name: str) -> ElementTree.Element:
    attributes = {"classname": _plain(group), "name": _plain(name)}
    attributes |= {"file": _plain(report.path)} if report.path else {}
    return ElementTree.SubElement(suite, "testcase", attributes)


def _outcome(test: ElementTree.Element, outcome: str, first: Diagnostic, *others: Diagnostic) -> None:
    """An outcome, of which a test has one at most: the first diagnostic in short, and all of them whole."""
    message = _plain(f"{first.code}: {first.message}")
    element = ElementTree.SubElement(test, outcome, type=first.code, message=message)
    element.text = _plain("\n\n".join(diagnostic.render() for diagnostic in (first, *others)))


def _plain(text: str) -> str:
    """A text without the signs that XML forbids."""
    lines = "\n".join(map(printable, text.split("\n")))
    return re.sub("[\ufffe\uffff]", "\ufffd", lines)
