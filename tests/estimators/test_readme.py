"""What the README says of estimators is true."""

import re
from dataclasses import replace
from pathlib import Path

from fvm_core.comparison.results import read_result
from fvm_core.estimators import catalogue
from fvm_core.metrics import detection
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_estimators():
    """If it isn't: `saltflat estimators --markdown`."""
    assert catalogue.markdown() in README


def test_the_example_is_a_score_that_works(tmp_path):
    (example,) = [
        code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class Gini" in code
    ]
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    (tmp_path / "gini.py").write_text(example, encoding="utf-8")
    config = tiny_config()
    compare = replace(config.compare, estimators=(f"{tmp_path / 'gini.py'}:Gini",))
    run = execute(RunFolder.create(tmp_path / "run", replace(config, compare=compare)))
    assert run.info["stages"]["compare"]["failed"] == {}
    scores = run.scores
    wrong = (scores["given_label"] != scores["true_label"]).to_numpy()
    found = detection(read_result(run.path, "gini")["suspicion"].to_numpy(), wrong)
    assert found["roc_auc"] > 0.8
