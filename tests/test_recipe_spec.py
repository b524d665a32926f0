"""Section `train` of a spec: laws over every field of a recipe and every part, which parser and schema take
alike, and what is inherited, overridden and documented."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from archforge.analysis.recipe_fit import recipe_gaps, recipe_mistakes
from archforge.driver import analyse
from archforge.errors import Diagnostic, DiagnosticError, SourceFile
from archforge.parts import Part, all_parts, bare_setting
from archforge.recipe.base import Epoch, Loss, Optimizer
from archforge.recipe.losses.cross_entropy import CrossEntropy
from archforge.recipe.optimizers.sgd import SGD
from archforge.recipe.patterns import last_fitting, names_that_fit
from archforge.recipe.reaches import FIGURES, DocumentedFigure, best_of
from archforge.recipe.recipe import TrainingRecipe
from archforge.spec.limits import PATTERN, RECIPE_ITEMS
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.recipe import from_flags, from_python, from_set, recipe_of
from archforge.spec.resolve.resolve import resolve
from archforge.spec.resolve.spec import Spec
from archforge.spec.schema.schema import general_schema, spec_schema
from archforge.spec.syntax.foreign_words import SETTINGS, TRAIN
from archforge.spec.syntax.parse_train import bind
from archforge.spec.syntax.recipe_forms import (
    Form,
    ListForm,
    MapForm,
    ModelForm,
    PartForm,
    ValueForm,
    fields_of,
)
from archforge.spec.yaml.tree import Mapping, parse_yaml


def spec_of(train: str, more: str = "") -> Spec:
    library = Library()
    text = f"archforge: 1\ninput: [1, 28, 28]\ngraph: [flatten, {{linear: 10}}]\ntrain: {train}\n{more}"
    return resolve(library.read_text(text), library, "spec")


def mistakes(train: Any) -> tuple[Diagnostic, ...]:
    """The mistakes of a section of plain values."""
    text = json.dumps({"train": train}, ensure_ascii=False)
    try:
        tree = parse_yaml(SourceFile("spec", text))
        assert isinstance(tree, Mapping)
        section = tree.get("train")
        assert isinstance(section, Mapping)
        bind(section, section.span)
    except DiagnosticError as error:
        return error.diagnostics
    return ()


@cache
def schema() -> Draft7Validator:
    whole = general_schema()
    return Draft7Validator({"$ref": "#/definitions/train", "definitions": whole["definitions"]})


# Every field and every part

KINDS = [Loss, Optimizer]


def kinds(form: Form) -> Iterator[type[Part]]:
    if isinstance(form, PartForm):
        yield form.kind
    elif isinstance(form, ListForm | MapForm):
        yield from kinds(form.item)
    elif isinstance(form, ModelForm):
        for field in fields_of(form.model).values():
            yield from kinds(field.form)


ALL_KINDS = list(dict.fromkeys(k for f in fields_of(TrainingRecipe).values() for k in kinds(f.form)))
PARTS = [pytest.param(part, id=part.word) for kind in ALL_KINDS for part in all_parts(kind).values()]

VALUES: list[Any] = [
    *(0, 1, -1, 2, 30, 0.5, -0.5, 1.5, True, False, None, "a", "mean", "norms", "=1", "1e-3"),
    *([], [1], [1, 2], [-1], [0.5, 0.9], ["a"], ["norms"], [True], [[1]], {}, {"a": 1}, {"a": "b"}),
    *("cross_entropy", "sgd", {"sgd": 0.1}, {"sgd": {"lr": 0.1}}, {"sgd": {}}, {"sgd": None}),
    *([{"sgd": 0.1}], {"cross_entropy": None}, {"cross_entropy": {"axis": -1}}, {"a": {"sgd": 0.1}}),
    *({"norm": 1}, {"norm": 0}, {"norm": None}, {"value": "x"}, ["cross_entropy"], {"a": "cross_entropy"}),
]


def test_a_recipe_has_every_form() -> None:
    forms = [field.form for field in fields_of(TrainingRecipe).values()]
    assert {type(form) for form in forms} == {PartForm, ListForm, MapForm, ModelForm, ValueForm}


@pytest.mark.parametrize("key", TrainingRecipe.model_fields)
def test_parser_and_schema_take_the_same_values(key: str) -> None:
    for value in VALUES:
        assert schema().is_valid({key: value}) is (mistakes({key: value}) == ()), value


@cache
def needed(part: type[Part]) -> dict[str, Any]:
    """Values for the settings that a part requires, and for one more where its rules ask for one."""
    right: dict[str, Any] = {}
    for name, field in fields_of(part).items():
        if field.required:
            right[name] = next(v for v in VALUES if wrong_setting(part, right | {name: v}, name) is None)
    more = ({name: value} for name in part.settings() for value in VALUES if value is not None)
    return (
        right
        if not mistakes_of(part, right)
        else next(right | m for m in more if not mistakes_of(part, right | m))
    )


def wrong_setting(part: type[Part], settings: Any, name: str) -> Diagnostic | None:
    """The mistake about one setting by itself, without those between settings."""
    return next(
        (m for m in mistakes_of(part, settings) if f"`{name}`" in m.message and m.code == "E0203"), None
    )


def by_themselves(part: type[Part], settings: Any) -> list[Diagnostic]:
    """The mistakes of settings, without those between several, which no schema can know."""
    return [m for m in mistakes_of(part, settings) if not m.message.startswith(f"`{part.word}`: ")]


def mistakes_of(part: type[Part], settings: Any) -> list[Diagnostic]:
    return list(mistakes(section_with(part, settings)))


def section_with(part: type[Part], settings: Any) -> dict[str, Any]:
    """A section that holds a part with these settings, where its kind may stand."""

    def inside(form: Form, kind: type[Part]) -> Any:
        value = {part.word: settings}
        if isinstance(form, ListForm):
            return inside(form.item, kind)
        if isinstance(form, MapForm):
            return {"a": inside(form.item, kind)}
        if isinstance(form, ModelForm):
            return next(
                {n: inside(f.form, kind)} for n, f in fields_of(form.model).items() if kind in kinds(f.form)
            )
        return value

    kind = next(kind for kind in ALL_KINDS if issubclass(part, kind))
    return next(
        {name: inside(field.form, kind)}
        for name, field in fields_of(TrainingRecipe).items()
        if kind in kinds(field.form)
    )


@pytest.mark.parametrize("part", PARTS)
def test_parser_and_schema_take_the_same_settings_of_a_part(part: type[Part]) -> None:
    right = needed(part)
    assert mistakes_of(part, right) == []
    for name in part.settings():
        for value in VALUES:
            settings = right | {name: value}
            is_right = by_themselves(part, settings) == []
            assert schema().is_valid(section_with(part, settings)) is is_right, (name, value)
    unknown = right | {"no_such_setting": 1}
    assert not schema().is_valid(section_with(part, unknown))
    assert [m.code for m in mistakes_of(part, unknown)] == ["E0201"]


@pytest.mark.parametrize("part", PARTS)
def test_a_bare_value_is_the_first_setting(part: type[Part]) -> None:
    first = bare_setting(part)
    for value in (value for value in VALUES if not isinstance(value, dict | None)):
        bare, named = (by_themselves(part, v) == [] for v in (value, {first or "none": value}))
        assert (bare, schema().is_valid(section_with(part, value))) == (named, named), value
    is_right = by_themselves(part, {}) == []
    assert (by_themselves(part, None) == [], schema().is_valid(section_with(part, None))) == (
        is_right,
        is_right,
    )


def test_words_of_others_lead_to_keys_that_there_are() -> None:
    assert {*TRAIN.values()} <= {*TrainingRecipe.model_fields, "reaches"}
    assert not {*TRAIN} & {*TrainingRecipe.model_fields}
    parts = [part for kind in ALL_KINDS for part in all_parts(kind).values()]
    models = [f.form.model for f in fields_of(TrainingRecipe).values() if isinstance(f.form, ModelForm)]
    known = {name for model in (*parts, *models) for name in model.model_fields}
    unknown = {meaning for meanings in SETTINGS.values() for meaning in meanings} - known
    assert unknown <= {"eps", "normalise", "patience"}


@pytest.mark.parametrize(
    ("train", "help"),
    [
        ("{batch_size: 64}", "did you mean `batch`?"),
        ("{n_epochs: 5}", "did you mean `epochs`?"),
        ("{scheduler: step}", "did you mean `schedule`?"),
        ("{early_stopping: 5}", "did you mean `stop`?"),
        ("{criterion: nll}", "did you mean `loss`?"),
        ("{randomState: 1}", "did you mean `seed`?"),
        ("{learning_rate: 0.1}", "{lr: 0.1}}"),
        ("{optimizer: {sgd: {learning_rate: 0.1}}}", "did you mean `lr`?"),
        ("{optimizer: {sgd: {learningRate: 0.1}}}", "did you mean `lr`?"),
        ("{optimizer: {SGD: 0.1}}", "did you mean `sgd`?"),
        ("{optimizer: SGD(lr=0.1)}", "{sgd: ...}"),
        ("{optimizer: {name: SGD, lr: 0.1}}", "{sgd: {lr: 0.1}}"),
        ("{optimizer: {sgd: , lr: 0.1}}", "{sgd: {lr: 0.1}}"),
        ("{optimizer: [{sgd: 0.1}]}", "one, no list"),
        ("{loss: nn.CrossEntropyLoss}", "did you mean `cross_entropy`?"),
        ("{loss: sgd}", "`sgd` is an optimizer: optimizer: sgd"),
        ("{optimizer: {sgd: '1e-3'}}", "without quotes: 1e-3"),
        ("{batch: 64.0}", "write 64"),
        ("{epochs: =3}", "formulas have no place in `train`"),
        ("{spare: bias}", "did you mean `biases`?"),
        ("{clip: 1}", "its keys: norm, value"),
        ("{loss: {cross_entropy: {reduction: none}}}", ""),
    ],
)
def test_mistakes_have_a_way_out(train: str, help: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        spec_of(train)
    assert help in raised.value.diagnostics[0].help


def test_all_mistakes_of_a_section_are_told_together() -> None:
    wrong = {
        "batch": 0,
        "loss": "no",
        "optimizer": {"sgd": {"lr": -1, "nesterov": 1}},
        "freeze": [3],
        "zzz": 1,
    }
    assert [m.code for m in mistakes(wrong)] == ["E0203", "E0901", "E0203", "E0203", "E0203", "E0201"]


def test_limits_of_what_a_section_may_hold() -> None:
    assert [m.code for m in mistakes({"freeze": ["a"] * (RECIPE_ITEMS.most + 1)})] == ["E0107"]
    assert [m.code for m in mistakes({"freeze": ["a" * (PATTERN.most + 1)]})] == ["E0107"]
    assert [m.code for m in mistakes({"loss_weights": {"a" * (PATTERN.most + 1): 1}})] == ["E0107"]


@pytest.mark.parametrize("part", PARTS)
def test_a_recipe_in_brief_is_the_same_recipe(part: type[Part]) -> None:
    section = {"epochs": 3, "clip": {"norm": 1.0}, **section_with(part, needed(part))}
    bound = recipe_of(spec_of(json.dumps(section)))
    again = recipe_of(spec_of(json.dumps(bound.to_json())))
    assert again.recipe == bound.recipe
    assert {*bound.recipe.brief()} == {"epochs", "clip", *section_with(part, {})}
    assert bound.recipe.to_json().keys() == TrainingRecipe.model_fields.keys()


# Inherited, of a profile, overridden


TRAIN_TEXT = "{loss: cross_entropy, batch: 5, epochs: 7, optimizer: {sgd: {lr: 0.1, momentum: 0.9}}}"
PROFILES = "profiles: {first: {}, second: {train: {epochs: 3, loss: null}}}\n"


def test_a_profile_replaces_keys_and_null_drops_one() -> None:
    spec = spec_of(TRAIN_TEXT, PROFILES)
    first, second = (recipe_of(spec, name).recipe for name in ("first", "second"))
    assert (first.epochs, first.batch, first.loss) == (7, 5, CrossEntropy())
    assert (second.epochs, second.batch, second.loss) == (3, 5, None)


def test_a_spec_without_a_section_has_the_defaults() -> None:
    assert recipe_of(spec_of("")).recipe == TrainingRecipe()


def test_each_field_knows_its_place() -> None:
    bound = recipe_of(spec_of(TRAIN_TEXT, PROFILES), "second")
    texts = {".".join(place): span.text for place, span in bound.spans.items()}
    assert texts["optimizer.sgd.momentum"] == "momentum"
    assert texts["epochs"] == "epochs"
    assert str(bound.span("epochs")).endswith(":5:40")
    assert bound.span("optimizer", "sgd", "nesterov") == bound.span("optimizer", "sgd")
    assert (bound.span("seed"), bound.is_given("seed"), bound.is_given("batch")) == (None, False, True)


def test_a_caller_wins_over_both() -> None:
    given = [
        *from_flags({"epochs": "9", "optimizer": "sgd: {lr: 0.5}", "loss": None, "drop_last": "true"}),
        from_set("train.optimizer.sgd.momentum", "0.25"),
        from_set("train.clip.norm", "2"),
        from_set("train.loss_weights.aux.1", "0.3"),
        *from_python({"freeze": ("*.bias", "stem"), "losses": {"main": CrossEntropy(smoothing=0.1)}}),
    ]
    bound = recipe_of(spec_of(TRAIN_TEXT, PROFILES), "second", given)
    recipe = bound.recipe
    assert (recipe.epochs, recipe.optimizer) == (9, SGD(lr=0.5, momentum=0.25))
    assert (recipe.clip.norm, recipe.loss_weights) == (2.0, {"aux.1": 0.3})
    assert recipe.freeze == ("*.bias", "stem")
    assert recipe.losses == {"main": CrossEntropy(smoothing=0.1)}
    assert bound.by_caller == {"epochs", "optimizer", "drop_last", "clip", "loss_weights", "freeze", "losses"}
    assert bound.spans["optimizer",].source.name == "--set train.optimizer.sgd.momentum"


@pytest.mark.parametrize(
    "given",
    [{"optimizer": SGD(lr=0.1)}, {"optimizer": {"sgd": {"lr": 0.1}}}, {"optimizer": {"sgd": 0.1}}],
)
def test_parts_may_be_made_by_a_caller(given: dict[str, Any]) -> None:
    assert recipe_of(spec_of(""), None, from_python(given)).recipe.optimizer == SGD(lr=0.1)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("train.optimizer.adam.lr", "1", "the optimizer is `sgd`, not `adam`"),
        ("train.epochs.more", "1", "`epochs` has nothing inside it"),
        ("train.epoch", "1", "`train` has no key `epoch`"),
        ("train.clip.norms", "1", "`clip` has no key `norms`"),
        ("train.optimizer.sgd.rate", "1", "the optimizer `sgd` has no setting `rate`"),
        ("train.optimizer.sgd.lr", "fast", "`lr` of `sgd` is a number, 0 or more"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_at_its_text(name: str, text: str, told: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        recipe_of(spec_of(TRAIN_TEXT), None, [from_set(name, text)])
    (found,) = raised.value.diagnostics
    assert told in found.message
    assert found.span
    assert found.span.source.name == f"--set {name}"


@pytest.mark.parametrize(
    ("name", "text"), [("train", "1"), ("train.", "1"), ("train..lr", "1"), ("train.lr", "")]
)
def test_a_setting_of_nothing_is_refused(name: str, text: str) -> None:
    with pytest.raises(
        DiagnosticError, match=f"E0001: `--set {name}` (names nothing in `train`|has no value)"
    ):
        from_set(name, text)


def test_mistakes_of_several_flags_are_told_together() -> None:
    with pytest.raises(DiagnosticError) as raised:
        from_flags({"loss": "{", "epochs": "", "batch": "5"})
    assert sorted(d.code for d in raised.value.diagnostics) == ["E0001", "E0101"]
    with pytest.raises(DiagnosticError) as raised:
        recipe_of(spec_of(""), None, from_flags({"loss": "{sgd: {lr: x}}", "epochs": "0", "seed": "-1"}))
    assert {d.span.source.name for d in raised.value.diagnostics if d.span} == {
        "--loss",
        "--epochs",
        "--seed",
    }


def test_what_no_spec_can_hold_is_refused() -> None:
    with pytest.raises(DiagnosticError, match="`loss` is no plain value, but an object"):
        from_python({"loss": object()})
    with pytest.raises(DiagnosticError, match="`loss` is a loss, found the optimizer `SGD`"):
        recipe_of(spec_of(""), None, from_python({"loss": SGD(lr=1)}))


# Documented figures


def test_figures_are_of_the_spec_itself_and_by_profile() -> None:
    figures = "reaches: {first: {val_accuracy: 0.5, source: a}}"
    spec = spec_of(f"{{{figures}}}", "profiles: {first: {}, second: {}}\n")
    assert recipe_of(spec, "first").reaches == (DocumentedFigure("val_accuracy", 0.5, "a"),)
    assert recipe_of(spec, "second").reaches == ()


def test_a_figure_out_of_reach_has_what_is_reached_and_why() -> None:
    figure = DocumentedFigure("val_accuracy", 0.9, "a", 0.8, "so")
    assert (figure.is_reached(0.8), figure.is_reached(0.79), figure.is_reached(float("nan"))) == (
        True,
        False,
        False,
    )
    loss = DocumentedFigure("val_loss", 0.9, "a")
    assert (loss.is_reached(0.9), loss.is_reached(1.0), loss.is_reached(float("nan"))) == (True, False, False)


def test_the_best_of_all_epochs_counts() -> None:
    history = [Epoch(1, {"loss": 2.0, "accuracy": 0.5}), Epoch(2, {"loss": 1.0}), Epoch(3, {"loss": 1.5})]
    assert (best_of(history, "loss"), best_of(history, "accuracy"), best_of(history, "val_loss")) == (
        1.0,
        0.5,
        None,
    )
    assert {*FIGURES} >= {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize(
    ("reaches", "code", "told"),
    [
        ("{first: {val_accuracy: 98.45, source: a}}", "E0507", "0.9845"),
        ("{first: {val_accuracy: 98.45 %, source: a}}", "E0507", "0.9845"),
        ("{first: {val_accuracy: 0.9}}", "E0202", "source"),
        ("{first: {source: a}}", "E0202", "val_accuracy"),
        ("{first: {val_acc: 0.9, source: a}}", "E0502", "`val_accuracy`"),
        ("{first: {val_accuracy: {documented: 0.9, computed: 0.8}, source: a}}", "E0507", "because"),
        ("{firts: {val_accuracy: 0.9, source: a}}", "E0501", "`first`"),
        ("{val_accuracy: 0.9}", "E0203", "source"),
        ("0.9", "E0203", "listing"),
    ],
)
def test_a_figure_of_the_wrong_form_is_refused(reaches: str, code: str, told: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        spec_of(f"{{reaches: {reaches}}}", "profiles: {first: {}}\n")
    assert raised.value.diagnostics[0].code == code
    assert told in raised.value.diagnostics[0].help


def test_a_strict_schema_knows_the_profiles() -> None:
    spec = spec_of("{reaches: {first: {val_accuracy: 0.5, source: a}}}", "profiles: {first: {}}\n")
    strict = Draft7Validator(spec_schema(spec))
    data = spec.document.tree.plain()
    assert strict.is_valid(data)
    data["train"]["reaches"]["firts"] = data["train"]["reaches"].pop("first")
    assert not strict.is_valid(data)
    data["train"]["reaches"] = None
    data["profiles"]["first"]["train"] = {"reaches": None}
    assert not strict.is_valid(data)


# Against the network


@pytest.mark.parametrize(
    ("train", "codes"),
    [
        ("{freeze: '*.bias', init: {}, recompute: [], losses: {output: cross_entropy}}", []),
        ("{freeze: ['*.weight', linear]}", ["E0905"]),
        ("{freeze: '*'}", ["E0905"]),
        ("{freeze: ['*.bias', '*.weight']}", ["E0905"]),
        ("{losses: {output: mse, other: mse}, loss_weights: {third: 1}}", ["E0905", "E0905"]),
        ("{recompute: [unit, 'un*']}", ["E0905", "E0905"]),
        ("{stratify: true, optimizer: sgd, spare: norms, clip: {}}", ["W0902", "W0902", "W0902"]),
        ("{sync_bn: true}", ["W0902"]),
        ("{stratify: false, limit: 0, sync_bn: false}", []),
        ("{stratify: true, limit: 10, optimizer: adamw, spare: norms, clip: {norm: 1}}", []),
    ],
)
def test_what_a_recipe_names_is_there_and_has_effect(train: str, codes: list[str]) -> None:
    network = analyse(spec_of(train))
    assert network.recipe
    assert [d.code for d in recipe_mistakes(network, network.recipe)] == codes


def test_settings_without_effect_are_told_of_own_text_and_of_a_caller() -> None:
    network = analyse(spec_of("{optimizer: {sgd: {weight_decay: 1}}, spare: norms}"))
    assert network.recipe
    assert recipe_mistakes(network, network.recipe) == []
    given = recipe_of(network.spec, None, from_flags({"optimizer": "sgd", "stratify": "true"}))
    assert [d.message.split("`")[1] for d in recipe_mistakes(network, given)] == ["stratify", "spare"]


def test_what_a_run_needs_is_asked_for() -> None:
    network = analyse(spec_of("{batch: 3}"))
    assert network.recipe
    assert [d.code for d in recipe_gaps(network, network.recipe)] == ["E0202", "E0202"]
    full = recipe_of(network.spec, None, from_flags({"loss": "cross_entropy", "optimizer": "sgd"}))
    assert recipe_gaps(network, full) == []


def test_a_spec_without_a_section_has_no_recipe() -> None:
    assert analyse(spec_of("")).recipe is None


# Names


def test_patterns_go_over_dots_and_the_last_one_that_fits_counts() -> None:
    names = ["stem.weight", "stem.bias", "head.0.bias"]
    assert names_that_fit("*.bias", names) == ["stem.bias", "head.0.bias"]
    assert names_that_fit("head.?.*", names) == ["head.0.bias"]
    assert last_fitting("stem.bias", {"*": 1, "*.bias": 2, "head.*": 3}) == 2
    assert last_fitting("stem", {"head.*": 3}) is None


# Whatever is written


WORDS = [
    *(word for kind in ALL_KINDS for word in all_parts(kind)),
    *(name for kind in ALL_KINDS for part in all_parts(kind).values() for name in part.settings()),
    *(*TrainingRecipe.model_fields, *TRAIN, *SETTINGS, "=x", "1e-3", "", "*", "a.b", "é", "\u202e", "null"),
]
SCALARS = st.one_of(
    st.sampled_from(WORDS), st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.booleans(), st.none(), st.text(max_size=5),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*TrainingRecipe.model_fields, *TRAIN, "x"]), TREES, max_size=4))
def test_whatever_is_written_is_a_recipe_or_refused_in_words(section: dict[str, Any]) -> None:
    for found in mistakes(section):
        assert found.span is not None or found.code == "E0106"
        found.render()


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*TrainingRecipe.model_fields]), TREES, max_size=3))
def test_whatever_a_caller_gives_is_a_recipe_or_refused_in_words(values: dict[str, Any]) -> None:
    with contextlib.suppress(DiagnosticError):
        recipe_of(spec_of(""), None, from_python(values))
