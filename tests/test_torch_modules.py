"""Parts of a torch module: what they hold, compute and hand on."""

from __future__ import annotations

from typing import Any

import pytest

from archforge.interchange.torch.modules import module_params, module_values

torch: Any = pytest.importorskip("torch", reason="torch is not installed: `make test-torch` installs it")


class Module(torch.nn.Module):  # type: ignore[misc]  # torch is not there for mypy
    def __init__(self, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class NormAct(Module):
    """A norm as timm has them: what it computes goes through parts, which may do nothing."""

    def __init__(self, act: Any) -> None:
        weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        super().__init__(weight=weight, drop=torch.nn.Identity(), act=act)

    def forward(self, x: Any) -> Any:
        return self.act(self.drop(x * self.weight))


class Residual(Module):
    def forward(self, x: Any) -> Any:
        return self.relu(self.norm(x)) + x


class Twice(Module):
    def forward(self, x: Any) -> Any:
        return self.act(self.act(x) - 1)


class Chunks(Module):
    def forward(self, x: Any) -> Any:
        return x.chunk(2, 1)


class Half(Module):
    def forward(self, x: Any) -> Any:
        return self.split(x)[0]


def values(module: Any, depth: int = 3) -> dict[str, Any]:
    return module_values(module, [torch.tensor([[1.0, 2.0]])], depth)[1]


def test_a_norm_that_holds_its_activation_is_made_by_it() -> None:
    found = values(torch.nn.Sequential(NormAct(torch.nn.ReLU())))
    assert [*found] == ["0.drop", "0.act", "0"]  # as they were computed
    assert (found["0"].maker, found["0"].has_params, found["0"].idle) == ("0.act", True, False)
    assert found["0.drop"].idle
    assert not found["0.act"].has_params


def test_a_norm_whose_parts_do_nothing_computes_itself() -> None:
    found = values(torch.nn.Sequential(NormAct(torch.nn.Identity())))
    assert found["0"].maker == "0"
    assert not found["0"].idle


def test_a_change_in_place_makes_another_value_and_leaves_the_one_before() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(inplace=True), torch.nn.Dropout())
    torch.nn.init.constant_(module[0].weight, -1.0)
    found = values(module.eval())
    assert (found["0"].tensor < 0).all()
    assert (found["1"].tensor == 0).all()
    assert (found["1"].maker, found["1"].idle, found["2"].idle) == ("1", False, True)


def test_a_sequence_is_made_by_its_last_part_that_computes() -> None:
    inner = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Dropout()))
    found = values(torch.nn.Sequential(inner).eval())
    assert {name: v.maker for name, v in found.items() if not v.idle} == {
        "0.0": "0.0",
        "0.1.0": "0.1.0",
        "0.1": "0.1.0",
        "0": "0.1.0",
    }


def test_a_sum_is_its_own_though_its_parts_are_not() -> None:
    found = values(
        torch.nn.Sequential(Residual(norm=NormAct(torch.nn.ReLU()), relu=torch.nn.ReLU(inplace=True))),
        depth=2,
    )
    assert {name: v.maker for name, v in found.items()} == {
        "0.norm": "0.norm.act",
        "0.relu": "0.relu",
        "0": "0",
    }


def test_modules_without_one_value_are_left_out() -> None:
    assert [*values(torch.nn.Sequential(Twice(act=torch.nn.ReLU())))] == [
        "0"
    ]  # without `0.act`, which is called twice
    assert [*values(torch.nn.Sequential(Half(split=Chunks())))] == [
        "0"
    ]  # without `0.split`, which returns a pair


def test_a_module_is_left_as_it_was() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2))
    values(module)
    assert not module[0]._forward_hooks
    assert not module[0]._forward_pre_hooks


def test_batch_counters_are_no_parameters() -> None:
    assert module_params(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))) == {
        "0.weight": (2, 3),
        "0.bias": (2,),
        "1.weight": (2,),
        "1.bias": (2,),
        "1.running_mean": (2,),
        "1.running_var": (2,),
    }
