"""config.toml: what is wrong is said at the start, with the key and what to do."""

import pytest

from bot.config import Config, load_config
from bot.errors import ConfigError


def write(folder, text: str, mode: int = 0o600):
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load_config(write(tmp_path, ""), {}) == Config()


def test_values_are_taken_by_their_types(tmp_path):
    text = """
    log_level = "DEBUG"
    [discord]
    guild_ids = [1, 2]
    [paths]
    data = "/srv/lorelei"
    [intake]
    max_megapixels = 20
    [training]
    overrides = {rank = 8}
    services = ["gpu0", "gpu1"]
    [export]
    copy_to = ""
    """
    config = load_config(write(tmp_path, text), {})
    assert config.discord.guild_ids == (1, 2)
    assert str(config.paths.database) == "/srv/lorelei/lorelei.sqlite3"
    assert config.intake.max_megapixels == 20.0
    assert config.training.config_for("face").rank == 8
    assert config.training.services == ("gpu0", "gpu1")
    assert config.export.copy_to is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[intake]\nmax_picture = 5", "max_pictures"),
        ("[intakes]\n", "intake"),
        ("intake = 5", "must be a table"),
        ('[intake]\nmax_pictures = "5"', "intake.max_pictures cannot be '5'"),
        ("[intake]\nmessage_content = 1", "intake.message_content cannot be 1"),
        ("[intake]\nmax_files = 11", "1 to 10"),
        ('[discord]\nguild_ids = ["1"]', "discord.guild_ids cannot be"),
        ("[training]\nservices = []", "at least one name"),
        ('[training]\nservices = ["../x"]', "may hold only"),
        ("[training]\noverrides = {rnk = 8}", "rank"),
        ('[training]\npreset = "fase"', "face"),
        ("[web]\nport = 70000", "0 to 65535"),
        ("[web", "cannot be read"),
    ],
)
def test_what_can_never_work_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path, text), {})
    assert said in str(error.value)


def test_a_missing_file_names_the_example(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.example\.toml"):
        load_config(tmp_path / "config.toml", {})


def test_where_the_token_comes_from(tmp_path):
    """systemd's credential first, then the environment, then the file."""
    path = write(tmp_path, '[discord]\ntoken = "from the file"')
    (tmp_path / "token").write_text("from systemd\n")
    variable = {"LORELEI_TOKEN": "from the environment"}
    assert load_config(path, {}).discord.token == "from the file"
    assert load_config(path, variable).discord.token == "from the environment"
    assert load_config(path, {**variable, "CREDENTIALS_DIRECTORY": str(tmp_path)}).discord.token == "from systemd"


def test_a_token_that_others_may_read_is_refused(tmp_path):
    path = write(tmp_path, '[discord]\ntoken = "secret"', mode=0o644)
    with pytest.raises(ConfigError, match="chmod 600") as error:
        load_config(path, {})
    assert "secret" not in str(error.value)


def test_the_token_is_not_shown(tmp_path):
    config = load_config(write(tmp_path, '[discord]\ntoken = "secret"'), {})
    assert "secret" not in repr(config)


def test_the_kind_of_the_dataset_chooses_the_preset_unless_somebody_does(tmp_path):
    free = load_config(write(tmp_path, ""), {}).training
    assert {kind: free.preset_for(kind) for kind in ("person", "character", "style", "object")} == {
        "person": "face",
        "character": "character",
        "style": "style",
        "object": "object",
    }
    host = load_config(write(tmp_path, '[training]\npreset = "quick"'), {}).training
    assert host.preset_for("style") == "quick"
    assert host.preset_for("style", "face") == "face"
