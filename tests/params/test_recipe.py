from pathlib import Path

from conftest import REPOSITORY
from params.edited import changed

from cmmanet.params import load_params


def test_paper_recipe_is_the_papers() -> None:
    recipe = load_params(REPOSITORY / "params.yaml").recipes["paper"]
    assert (recipe.image.height, recipe.image.width, recipe.clip.frames) == (256, 128, 6)
    assert recipe.batch.identities * recipe.batch.clips == 28
    assert (recipe.optimiser.lr, recipe.optimiser.weight_decay) == (2e-4, 5e-4)
    assert (recipe.model.backbone, recipe.model.weights) == ("resnet50", "imagenet")
    assert (recipe.model.hidden, recipe.model.last_stride) == (256, 2)


def test_what_the_paper_does_not_mention_is_off_in_paper_and_demo() -> None:
    recipes = load_params(REPOSITORY / "params.yaml").recipes
    assert list(recipes) == ["paper", "strong", "demo"]
    for name in ("paper", "demo"):
        recipe = recipes[name]
        assert recipe.clip.erase == recipe.losses.smoothing == recipe.schedule.warmup == 0
        assert recipe.model.neck == "none"


def test_strong_recipe_is_the_papers_network_trained_as_others_do() -> None:
    recipes = load_params(REPOSITORY / "params.yaml").recipes
    paper, strong = recipes["paper"], recipes["strong"]
    assert strong.model == paper.model.model_copy(update={"last_stride": 1, "neck": "bnneck"})
    assert strong.losses == paper.losses.model_copy(update={"smoothing": 0.1})
    assert strong.clip == paper.clip.model_copy(update={"erase": 0.5})
    assert (strong.image, strong.precision) == (paper.image, paper.precision)
    assert (strong.batch.identities, strong.batch.clips) == (8, 4)
    assert (strong.optimiser.lr, strong.optimiser.weight_decay) == (3.5e-4, 5e-4)
    # Luo et al.: 120 epochs, of which 10 of warm-up, and milestones at 40 and 70.
    epoch = strong.schedule.iterations / 120
    assert strong.schedule.warmup == 10 * epoch
    assert strong.schedule.milestones == (40 * epoch, 70 * epoch)


def test_the_papers_recipe_takes_inception(tmp_path: Path) -> None:
    params = load_params(changed(tmp_path, recipes__paper__model__backbone="inception_v3"))
    assert params.recipes["paper"].model.backbone == "inception_v3"


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    params = load_params(changed(tmp_path, recipes__demo__optimiser__weight_decay="1e-05"))
    assert params.recipes["demo"].optimiser.weight_decay == 1e-05
