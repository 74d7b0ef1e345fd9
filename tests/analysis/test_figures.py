import matplotlib as mpl
import numpy as np
import pytest

from clbench.analysis.figures.curves import CurvePanel, depth_curves
from clbench.analysis.figures.heatmaps import HeatmapPanel, heatmap, panels, panels_in_a_row
from clbench.analysis.figures.scatter import Point, scatter
from clbench.analysis.figures.style import COLOURS, SMALLEST, WIDTH, draw, elided, numbered, styled
from clbench.analysis.pages import grouped, pages
from clbench.analysis.result import Accuracy
from clbench.probes.similarity.measures import CKA
from clbench.schema.estimate import Estimate

SCENARIOS = ("st", "at", "partial_at", "full_at")
TEN = [
    *(f"{scheme}_{scenario}" for scheme in ("simclr", "supcon") for scenario in SCENARIOS),
    *("supervised_st", "supervised_at"),
]


def texts(figure):
    """All text of a figure that is shown, with where it is in points from its lower left."""
    with styled():
        figure.canvas.draw()
        points = mpl.transforms.Affine2D().scale(72 / figure.dpi)
        found = [one for one in figure.findobj(mpl.text.Text) if one.get_text().strip()]
        beyond = {label for axes in figure.axes for label in labels_beyond(axes)}
        places = {one: one.get_window_extent().transformed(points) for one in found}
    return {one: place for one, place in places.items() if one not in beyond}


def labels_beyond(axes):
    """Names of ticks outside of the axes' limits, which matplotlib keeps but does not draw."""
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = sorted(limits)
        for tick in axis.get_major_ticks():
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                yield tick.label1


def shown_names(axes):
    return [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]


def assert_readable(figure):
    """Nothing is cut off, nothing is too small, and no two texts overlap."""
    assert figure.get_figwidth() <= WIDTH
    places = texts(figure)
    for artist, box in places.items():
        where = f"{artist.get_text()!r} at {box}"
        assert -1 < box.x0 < box.x1 < 72 * figure.get_figwidth() + 1, where
        assert -1 < box.y0 < box.y1 < 72 * figure.get_figheight() + 1, where
        assert artist.get_fontsize() >= SMALLEST, where
    boxes = list(places.items())
    for i, (one, box) in enumerate(boxes):
        for other, second in boxes[i + 1 :]:
            width = min(box.x1, second.x1) - max(box.x0, second.x0)
            height = min(box.y1, second.y1) - max(box.y0, second.y0)
            # boxes have room above the letters that neighbouring lines may use
            apart = min(width, height) < 0.25 * one.get_fontsize()
            assert apart, f"{one.get_text()!r} lies on {other.get_text()!r}"


@pytest.fixture
def measures(make_block):
    """Lines over all layers."""

    def make(value):
        return make_block(value, noise=0.02).diagonal()

    return make


def test_one_matrix_names_every_layer_on_both_axes(make_block):
    similarity = make_block(0.5)
    axes = heatmap(similarity).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(similarity.columns.layers)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(similarity.rows.layers)
    assert axes.images[0].origin == "lower"


def test_all_panels_share_one_scale_of_colours(make_block):
    values = (-0.05, 0.2, 1.0)
    figure = panels(
        [[HeatmapPanel.of(make_block(value), str(value)) for value in values]], "three", measure=CKA
    )
    images = [image for axes in figure.axes for image in axes.images]
    assert len(images) == 3
    assert {image.get_clim() for image in images} == {CKA.value_range}
    assert {image.cmap.name for image in images} == {"viridis"}


def test_names_are_written_once_where_panels_share_them(make_block):
    one = HeatmapPanel.of(make_block(0.5), "one")
    figure = panels([[one, one], [one, None]], "four places", measure=CKA)
    shown = [sum(map(bool, shown_names(axes))) for axes in figure.axes[:3]]
    assert shown == [6, 6, 12]  # rows only; columns, as nothing is below; both


def test_panels_with_other_layers_have_names_of_their_own(make_block):
    similarity = make_block(0.5)
    few = HeatmapPanel.of(similarity.take(["stem", "logits"]), "few")
    figure = panels([[HeatmapPanel.of(similarity, "all"), few]], "two", measure=CKA)
    assert_readable(figure)
    assert set(shown_names(figure.axes[1])) == {"stem", "logits"}


def test_undefined_cells_are_grey_and_have_no_number(make_block):
    values = np.full((6, 6), 0.5)
    values[2, 3] = np.nan
    panel = HeatmapPanel.of(make_block(values), "one")
    axes = panels([[panel]], "one", measure=CKA, numbers=True).axes[0]
    assert len(axes.texts) == 35
    assert axes.images[0].get_array().mask.sum() == 1
    assert axes.images[0].cmap.get_bad()[0] == pytest.approx(0.85)


def test_of_too_many_names_some_are_left_out_and_none_is_small(make_block):
    layers = [f"network.encoder.layer{i // 10}.{i % 10}.conv" for i in range(120)]
    similarity = make_block(0.5, layers=layers)
    figure = heatmap(similarity)
    assert_readable(figure)
    shown = [name for name in shown_names(figure.axes[0]) if name]
    assert 30 < len(shown) < 240
    assert all(name.startswith("…") and name.endswith(".conv") for name in shown)


def test_fewer_panels_stand_in_a_row_where_there_are_more_names():
    assert panels_in_a_row([f"stage{i}" for i in range(11)]) == 4
    assert panels_in_a_row([f"stage{i}" for i in range(24)]) == 3
    assert panels_in_a_row([f"stage{i}" for i in range(200)]) == 1


def test_curves_have_a_band_a_colour_and_every_layer(measures):
    labels = {"st": measures(0.3), "at": measures(0.9)}
    figure = depth_curves([[CurvePanel("simclr", "CKA", labels)]], "depth")
    (axes,) = figure.axes
    assert [line.get_color() for line in axes.lines] == [COLOURS[0], COLOURS[1]]
    assert len(axes.collections) == 2
    names = [measure.name for measure in labels["st"]]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["st", "at"]
    assert_readable(figure)


def test_all_axes_of_curves_share_one_scale(measures):
    rows = [
        [
            CurvePanel("a", "CKA", {"st": measures(-0.1)}),
            CurvePanel("b", "CKA", {"st": measures(0.9)}),
        ],
        [
            CurvePanel("", "CKA", {"at": measures(0.5)}),
            CurvePanel("", "CKA", {"at": measures(0.5)}),
        ],
    ]
    figure = depth_curves(rows, "depth")
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert figure.axes[0].get_ylim()[0] < -0.1
    assert_readable(figure)


def test_an_undefined_value_interrupts_a_line(measures):
    curve = measures(0.5)
    curve[2] = Estimate(curve[2].name, np.nan, 100, np.nan, np.nan, "features do not vary")
    (line,) = depth_curves([[CurvePanel("", "CKA", {"net": curve})]], "one").axes[0].lines
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False, False]


def test_a_scenario_has_the_same_colour_whatever_else_is_shown():
    assert numbered(["at"]) == {"at": 1}
    assert numbered(["full_at", "at"]) == {"at": 1, "full_at": 3}
    assert numbered(["a.py:net", "at"]) == {"a.py:net": 0, "at": 1}


def test_more_models_than_colours_differ_in_the_line(measures):
    curves = {f"model {i}": measures(0.1 * i) for i in range(9)}
    figure = depth_curves([[CurvePanel("", "CKA", curves)]], "nine")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 9
    assert_readable(figure)


def test_points_have_intervals_in_both_directions():
    point = Point("at", "simclr", Estimate("x", 0.9, 9, 0.8, 1.0), Estimate("y", 0.5, 9, 0.4, 0.6))
    bare = Point("st", "supcon", Estimate("x", 0.2, 9, np.nan, np.nan), point.y)
    figure = scatter({"all": [point, bare], "at": [point]}, title="t", x_label="x", y_label="y")
    assert len(figure.axes) == 2
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["st", "at", "simclr", "supcon"]
    assert_readable(figure)


def test_every_page_of_ten_models_is_readable(make_analysis):
    accuracies = tuple(
        Accuracy(name, layer, score, 0.5, 0.4, 0.6, 100)
        for name in TEN
        for score in ("clean", "adv", "adaptive")
        for layer in ("stage1.0", "pool")
    )
    found = dict(pages(make_analysis(TEN, accuracies=accuracies)))
    assert list(found) == [
        *("depth-curves", "probe-accuracy", "clean-clean", "adversarial-adversarial"),
        *("adversarial-clean", "cross-clean", "cross-adversarial", "cross-common"),
        *("cross-scheme", "cross-scenario"),
    ]
    for figure in found.values():
        assert_readable(figure)
    assert [len(found[name].axes) for name in ("clean-clean", "cross-scheme")] == [11, 9]
    numbers = found["cross-clean"].axes[0].texts  # of 45 pairs, too many for panels
    assert len(numbers) == 45


def test_pages_of_models_from_elsewhere_are_readable(make_analysis):
    analysis = make_analysis(["net.py:make_a_network", "other.py:make"])
    assert [group.name for group in grouped(analysis.record.models)] == [""]
    for figure in dict(pages(analysis)).values():
        assert_readable(figure)


def test_several_trainings_of_a_comparison_have_a_curve_each(make_analysis):
    (group,) = grouped(
        make_analysis(["simclr_at", "simclr_at@short", "simclr_at@long"]).record.models
    )
    assert list(group.labels.values()) == ["at", "at@short", "at@long"]


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(make_block, form):
    once, again = (draw(heatmap(make_block(0.5)), form) for _ in range(2))
    assert once == again
    assert b"Date" not in once
    assert b"<dc:date>" not in once
    assert once.startswith(b"\x89PNG" if form == "png" else b"<?xml")


def test_a_users_own_style_neither_changes_figures_nor_is_changed(make_block):
    plain = draw(heatmap(make_block(0.5)), "svg")
    with mpl.rc_context({"font.size": 30.0, "image.cmap": "jet", "axes.grid": True}):
        assert draw(heatmap(make_block(0.5)), "svg") == plain
        assert mpl.rcParams["font.size"] == 30.0


def test_a_long_name_keeps_its_end():
    assert elided("layer1.0.conv1") == "layer1.0.conv1"
    assert elided("backbone.stages.3.blocks.2.conv_dw") == "…ages.3.blocks.2.conv_dw"
