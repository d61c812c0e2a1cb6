"""Commands of people: each names what it was based on, and is done once or refused with the reason."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from fvm_core.review.decisions import UNTOUCHED, Decision, DecisionStore

RUN = "run-1"


@pytest.fixture
def store(database_address) -> DecisionStore:
    return DecisionStore(database_address)


def one(row, action="keep", label=None):
    return Decision(row, f"s{row}", action, "old", label)


def do(store, key, decisions, based_on=None, who="ana"):
    decisions = decisions if isinstance(decisions, list) else [decisions]
    based_on = [UNTOUCHED] * len(decisions) if based_on is None else based_on
    return store.carry_out(RUN, key, decisions, based_on, who)


def states(store):
    return store.state(RUN)["state"].to_dict()


@pytest.mark.fault("a command comes again and again")
def test_a_command_is_done_once_whatever_comes_again(store):
    assert do(store, "a", one(0)).done
    assert do(store, "b", one(0, "exclude"), ["a"]).done
    for _ in range(3):
        assert do(store, "a", one(0)).done  # the outcome of the first time
    assert states(store) == {0: "excluded"}
    assert len(store.audit(RUN)) == 2


def test_a_decision_on_something_else_than_what_is_there_is_refused_whole(store):
    do(store, "a", one(1, "relabel", "cat"), who="bo")
    refused = do(store, "b", [one(0), one(1), one(2)])
    assert "'s1' was changed since you looked: relabelled as 'cat' by bo" in refused.refusal
    assert states(store) == {1: "relabelled"}
    assert do(store, "c", one(0), ["z"]).refusal.startswith("Not recorded: the decision on 's0' before")
    assert do(store, "d", [one(0), one(1), one(2)], [UNTOUCHED, "a", UNTOUCHED]).done
    # Refused is refused, although its base would be right again by now.
    store.undo(RUN, "d", "ana")
    assert do(store, "b", [one(0), one(1), one(2)]).refusal == refused.refusal
    assert states(store) == {1: "relabelled"}


def test_what_follows_a_refused_command_on_the_same_sample_is_refused_too(store):
    do(store, "x", one(0, "exclude"), who="bo")
    assert not do(store, "a", one(0)).done
    assert not do(store, "b", one(0, "unsure"), ["a"]).done
    assert states(store) == {0: "excluded"}


def test_undo_takes_back_the_command_it_names_and_no_other(store):
    do(store, "a", one(0))
    do(store, "b", [one(1), one(2, "exclude")])
    do(store, "c", one(3, "unsure"))
    assert store.undo(RUN, "b", "ana", "u").done
    assert states(store) == {0: "kept", 3: "unsure"}
    for _ in range(3):  # sent again
        assert store.undo(RUN, "b", "ana", "u").done
    assert states(store) == {0: "kept", 3: "unsure"}
    assert store.undo(RUN, "b", "ana", "v").refusal == "The decision has been taken back already."
    assert (store.audit(RUN)["action"] == "undo").sum() == 2


def test_undo_refuses_what_was_changed_since_and_what_is_another_persons(store):
    do(store, "a", one(0))
    do(store, "b", one(0, "relabel", "dog"), ["a"], who="bo")
    assert "relabelled as 'dog' by bo" in store.undo(RUN, "a", "ana").refusal
    assert "is by bo" in store.undo(RUN, "b", "ana").refusal
    assert "not in the database" in store.undo(RUN, "nothing", "ana").refusal
    do(store, "c", one(0))
    assert "was refused before" in store.undo(RUN, "c", "ana").refusal
    assert states(store) == {0: "relabelled"}
    assert store.undo(RUN, "b", "bo").done
    assert store.undo(RUN, "a", "ana").done
    assert states(store) == {}


def test_after_an_undo_the_sample_has_the_undos_version(store):
    do(store, "a", one(0))
    store.undo(RUN, "a", "ana", "u")
    assert not do(store, "b", one(0, "exclude"), [UNTOUCHED]).done
    assert not do(store, "c", one(0, "exclude"), ["a"]).done
    assert do(store, "d", one(0, "exclude"), ["u"]).done
    revision, found = store.states_of(RUN, [0, 1])
    assert (found[0].state, found[0].version, list(found)) == ("excluded", "d", [0])
    assert revision == store.revision(RUN)


@pytest.mark.fault("24 people decide on one sample at once")
def test_one_of_many_that_decide_on_one_sample_at_once_wins(store):
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: do(store, f"k{n}", one(0), who=f"r{n}"), range(24)))
    winner = [outcome.key for outcome in outcomes if outcome.done]
    assert len(winner) == 1
    assert store.states_of(RUN, [0])[1][0].version == winner[0]
    assert len(store.audit(RUN)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_state_is_what_the_events_add_up_to(store, seed):
    """Random decisions and undos of two people; the kept state against one rebuilt from all events."""
    import random

    draw = random.Random(seed)
    actions = ["keep", "relabel", "exclude", "unsure", "clear"]
    keys = []
    for number in range(120):
        who = draw.choice(["ana", "bo"])
        if keys and draw.random() < 0.35:
            store.undo(RUN, draw.choice(keys), who)
            continue
        rows = draw.sample(range(8), draw.randint(1, 3))
        versions = store.versions(RUN)
        keys.append(f"k{number}")
        do(
            store,
            keys[-1],
            [one(row, draw.choice(actions), "new") for row in rows],
            [versions.get(row, UNTOUCHED) if draw.random() < 0.9 else "wrong" for row in rows],
            who,
        )
    audit = store.audit(RUN)
    gone = set(audit["undoes"].dropna())
    standing = audit[(audit["action"] != "undo") & ~audit["id"].isin(gone)].groupby("row").last()
    standing = standing[standing["action"] != "clear"]
    state = store.state(RUN)
    assert state.index.tolist() == standing.index.tolist()
    words = {"keep": "kept", "relabel": "relabelled", "exclude": "excluded", "unsure": "unsure"}
    assert state["state"].tolist() == [words[action] for action in standing["action"]]
    assert state["reviewer"].tolist() == standing["reviewer"].tolist()
    newest = audit.groupby("row")["batch"].last()
    assert store.versions(RUN) == newest.to_dict()
    assert not gone & set(itertools.chain(*[audit.loc[audit["action"] == "undo", "id"]]))
