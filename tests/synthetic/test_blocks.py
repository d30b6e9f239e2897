"""The shop's rules, checked on numpy blocks without a JVM."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from recsys.synthetic import Manifest, ShopConfig
from recsys.synthetic import users as people
from recsys.synthetic.__main__ import config_of, main, parser
from recsys.synthetic.actions import CART, CLICK, ORDER, PAGE_VIEW, REFUNDED, Actions, make_actions
from recsys.synthetic.choices import POSITION_BIAS
from recsys.synthetic.config import LIST_LENGTH
from recsys.synthetic.hashing import mix, normal, pick, uniform
from recsys.synthetic.items import describe, sku_number
from recsys.synthetic.policy import HOME, draw_slates, power_law_draw, power_law_probability
from recsys.synthetic.rate import session_rate
from recsys.synthetic.truth import grouped_auc
from recsys.synthetic.visits import DAY_MS, Visits, click_probabilities, clicks, make_visits
from recsys.synthetic.world import World, build_world

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(ShopConfig.for_events(40_000, days=30))


@pytest.fixture(scope="module")
def visits(world: World) -> Visits:
    return make_visits(world, 20, np.arange(world.cfg.n_users), rate=1.5)


@pytest.fixture(scope="module")
def actions(world: World, visits: Visits) -> Actions:
    return make_actions(world, visits)


def test_draws_are_uniform_normal_and_distinct() -> None:
    keys = np.arange(50_000)
    assert len(np.unique(mix(7, "a", keys))) == len(keys)
    assert uniform(7, "a", keys).mean() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(uniform(7, "a", keys), uniform(7, "b", keys))[0, 1] == pytest.approx(0, abs=0.02)
    drawn = normal(7, "a", keys)
    assert (drawn.mean(), drawn.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert (uniform(7, "a", keys) != uniform(8, "a", keys)).all()


def test_pick_takes_the_interval_that_holds_the_draw() -> None:
    drawn = pick(np.array([0.0, 0.19, 0.2, 0.99]), np.array([0.2, 0.5, 1.0]))
    assert drawn.tolist() == [0, 0, 1, 2]


def test_power_law_probabilities_sum_to_one_and_match_the_draws() -> None:
    low, high = np.int64(3), np.int64(33)
    stated = power_law_probability(np.arange(3, 33), low, high, 1.1)
    assert stated.sum() == pytest.approx(1)
    assert (np.diff(stated) < 0).all()
    drawn = power_law_draw(uniform(7, "x", np.arange(100_000)), low, high, 1.1)
    np.testing.assert_allclose(np.bincount(drawn - 3, minlength=30) / 100_000, stated, atol=0.004)


def test_strata_cover_a_category_without_gaps(world: World) -> None:
    assert (world.strata[:, 0] == 0).all()
    assert (world.strata[:, -1] == world.base).all()
    assert (np.diff(world.strata, axis=1) >= 1).all()


@pytest.mark.parametrize("page", [HOME, 3])
@pytest.mark.parametrize("explore", [0.0, 1.0])
def test_propensities_are_the_frequencies_of_the_policy(page: int, explore: float) -> None:
    world = build_world(ShopConfig.for_events(400, n_categories=6, n_items=200, explore_share=explore))
    n, day = 120_000, 40
    slate = draw_slates(world, np.arange(n), np.full(n, page), np.full(n, day))
    item = world.starts[slate.category] + slate.local
    assert all(len(set(row)) == LIST_LENGTH for row in item[:2_000].tolist())
    assert (world.arrival_day(slate.category, slate.local) <= day).all()
    for position in (0, 6):
        shown, first, times = np.unique(item[:, position], return_index=True, return_counts=True)
        stated = slate.propensity[first, position]
        assert stated.sum() == pytest.approx(1, abs=0.02), "every item on sale was drawn at least once"
        spread = np.sqrt(stated * (1 - stated) / n)
        assert (np.abs(times / n - stated) / spread).max() < 4.5
        assert len(shown) > (150 if page == HOME else 25)


def test_arrivals_by_day_count_the_items_whose_day_has_come(world: World) -> None:
    for category in range(world.cfg.n_categories):
        local = np.arange(world.sizes[category])
        day = world.arrival_day(np.full(len(local), category), local)
        for today in (0, 7, 29):
            assert world.arrived[today, category] == ((day >= 0) & (day <= today)).sum()


def test_public_ids_are_unique(world: World) -> None:
    items = np.arange(world.cfg.n_items)
    assert len(np.unique(sku_number(world, items))) == len(items)
    users = np.arange(200_000)
    assert len(np.unique(people.uid_number(world, users))) == len(users)


def test_blocks_do_not_matter(world: World, actions: Actions) -> None:
    """The same users in two blocks act as they do in one."""
    half = world.cfg.n_users // 2
    parts = [
        make_actions(world, make_visits(world, 20, users, rate=1.5))
        for users in (np.arange(half), np.arange(half, world.cfg.n_users))
    ]
    whole = np.argsort(actions.key)
    order = np.argsort(np.concatenate([part.key for part in parts]))
    for name in {field.name for field in fields(Actions)} - {"user", "session"}:
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(actions, name)[whole], joined[order], err_msg=name)


def test_sessions_are_numbered_in_time_order_within_the_day(world: World, actions: Actions) -> None:
    assert len(np.unique(actions.key)) == len(actions.key)
    live = actions.take(actions.kind != REFUNDED)
    same = np.diff(live.session) == 0
    assert (np.diff(live.ts_ms)[same] >= 0).all()
    assert (np.diff(live.step)[same] == 1).all()
    assert (live.step[1:][~same] == 1).all()
    start = world.cfg.start_ms + 20 * DAY_MS
    assert live.ts_ms.min() >= start
    assert live.ts_ms.max() < start + DAY_MS


def test_orders_follow_carts_and_carts_follow_pages(actions: Actions) -> None:
    seen: dict[int, set[tuple[int, int, int]]] = {kind: set() for kind in range(5)}
    for kind, session, item, place in zip(
        *(getattr(actions, name).tolist() for name in ("kind", "session", "item", "list_key")), strict=True
    ):
        seen[kind].add((session, item, place))
        if kind == CART:
            assert (session, item, place) in seen[CLICK] | seen[PAGE_VIEW]
        if kind == ORDER:
            assert (session, item, place) in seen[CART]
    counts = np.bincount(actions.kind, minlength=5)
    assert counts[CLICK] > counts[CART] > counts[ORDER] > counts[REFUNDED] > 0
    orders = {(session, item) for session, item, _ in seen[ORDER]}
    assert {(session, item) for session, item, _ in seen[REFUNDED]} <= orders


def test_consumables_are_ordered_again_a_cycle_later() -> None:
    cfg = ShopConfig.for_events(40_000, days=90, repeat_share=0.5)
    shop = build_world(cfg)
    visits = make_visits(shop, 5, np.arange(cfg.n_users), rate=1.5)
    made = make_actions(shop, visits)
    assert len(np.unique(made.key)) == len(made.key)
    again = made.take((made.kind == ORDER) & (made.step == 0))
    first = made.take((made.kind == ORDER) & (made.step > 0))
    bought = Counter(zip(first.user.tolist(), first.item.tolist(), strict=True))
    orders: dict[tuple[int, int], list[int]] = {}
    for user, item, ts_ms in zip(again.user.tolist(), again.item.tolist(), again.ts_ms.tolist(), strict=True):
        assert (user, item) in bought
        orders.setdefault((user, item), []).append(ts_ms)
    # .85 + .85 ^ 2 + ... orders follow one of a consumable, as far as the log goes.
    assert 1.5 < len(again.key) / (0.5 * len(first.key)) < 0.85 / 0.15
    ones = [times for pair, times in orders.items() if bought[pair] == 1 and len(times) > 2]
    gaps = np.concatenate([np.diff(np.sort(times)) for times in ones]) / DAY_MS
    assert np.percentile(gaps, 5) >= 5 and np.percentile(gaps, 95) <= 1.25 * 21
    assert again.ts_ms.max() < cfg.start_ms + cfg.days * DAY_MS
    assert not visits.who.is_bot[again.user].any() and not visits.who.anonymous[again.user].any()


def test_without_a_share_nothing_is_ordered_again(actions: Actions) -> None:
    assert (actions.step[actions.kind == ORDER] > 0).all()


def test_clicks_follow_the_stated_probability_and_position_bias(world: World, visits: Visits) -> None:
    logit, truth = click_probabilities(world, visits)
    hit = clicks(world, visits, truth)
    human = visits.shown & ~visits.who.is_bot[visits.list_user][:, None]
    assert hit[human].mean() == pytest.approx(truth[human].mean(), rel=0.05)
    relevance = 1 / (1 + np.exp(-logit))
    for column in range(LIST_LENGTH):
        rows = human[:, column]
        assert truth[rows, column].mean() / relevance[rows, column].mean() == pytest.approx(POSITION_BIAS[column])
    assert hit[:, 0].mean() > 1.5 * hit[:, -1].mean()


def test_exposure_is_heavy_tailed(world: World, visits: Visits) -> None:
    item = (world.starts[visits.slate.category] + visits.slate.local)[visits.shown]
    counts = np.sort(np.bincount(item, minlength=world.cfg.n_items))[::-1]
    assert counts[: world.cfg.n_items // 10].sum() > 0.3 * counts.sum()
    rank = np.arange(10, world.cfg.n_items // 2)
    slope = np.polyfit(np.log(rank), np.log(counts[rank] + 1.0), 1)[0]
    assert -1.8 < slope < -0.5


def test_people_click_within_their_favorite_categories(world: World, visits: Visits, actions: Actions) -> None:
    human = actions.take((actions.kind == CLICK) & ~visits.who.is_bot[actions.user])
    category, _ = world.locate(human.item)
    liked = (visits.who.favorites[human.user] == category[:, None]).any(axis=1)
    assert liked.mean() > 0.5
    facts = describe(world, *world.locate(human.item))
    assert (facts.vector * visits.who.vector[human.user]).sum(axis=1).mean() > 0.5


def test_cold_users_come_in_the_last_days_only(world: World) -> None:
    who = people.describe(world, np.arange(world.cfg.n_users))
    cold = who.first_day >= world.cfg.days - world.cfg.cold_days
    assert 0.01 < cold.mean() < 0.07
    early = make_visits(world, 5, np.arange(world.cfg.n_users), rate=3.0)
    assert not cold[early.session_user].any()


@pytest.mark.parametrize("days", [10, 90])
def test_the_rate_reaches_the_requested_number_of_events(days: int) -> None:
    cfg = ShopConfig.for_events(20_000, days=days)
    world, rate = build_world(cfg), session_rate(cfg)
    everyone = np.arange(cfg.n_users)
    made = sum(len(make_actions(world, make_visits(world, day, everyone, rate=rate)).key) for day in range(days))
    assert made == pytest.approx(cfg.n_events, rel=0.12)


def test_auc_counts_pairs_with_ties_as_half() -> None:
    rng = np.random.default_rng(0)
    score, label = rng.integers(0, 6, 60), rng.integers(0, 2, 60).astype(bool)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[label] for b in score[~label]]
    groups = [(s, int((label & (score == s)).sum()), int((~label & (score == s)).sum())) for s in range(6)]
    assert grouped_auc(groups) == pytest.approx(np.mean(pairs))
    assert np.isnan(grouped_auc([(0.5, 3, 0)]))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--events", "10"], "n_events"),
        (["--days", "0"], "days"),
        (["--set", "zipf"], "expected KEY=VALUE"),
        (["--set", "unheard=1"], "unheard"),
        (["--items", "200"], "too few"),
        (["--set", "zipf=steep"], "zipf"),
    ],
)
def test_wrong_flags_end_with_one_sentence(
    flags: list[str], says: str, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path), *flags]) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


def test_flags_reach_the_config() -> None:
    args = parser().parse_args(["--out", "x", "--events", "5000", "--users", "99", "--set", "dirt=2.5"])
    cfg = config_of(args)
    assert (cfg.n_events, cfg.n_users, cfg.dirt, cfg.n_items) == (5_000, 99, 2.5, 420)


def test_a_withdrawn_manifest_is_gone(tmp_path: Path) -> None:
    Manifest.withdraw(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    Manifest.withdraw(str(tmp_path))
    assert not list(tmp_path.iterdir())
