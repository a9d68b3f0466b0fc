"""Settings from file, environment and command line; each mistake is told with its place."""

from pathlib import Path

import pytest

from headwater import config
from headwater.errors import ConfigError


def load(tmp_path: Path, text: str, **environ: str) -> config.Settings:
    path = tmp_path / "headwater.toml"
    path.write_text(text)
    return config.load(path, environ)


def test_defaults_without_a_file():
    assert config.load(None, {}) == config.Settings()


def test_a_file_then_the_environment_then_the_command_line(tmp_path):
    text = 'interfaces = ["eth0"]\nhook = "xdp"\n[output]\ndirectory = "rows"\nformat = "csv"\n'
    settings = load(tmp_path, text, INTERFACE_NAME="eth1")
    assert settings.interfaces == ("eth1",)
    assert settings.output.format == "csv"
    settings = config.override(settings, "the command line", interfaces=["eth2", "eth3"], hook=None)
    assert settings.interfaces == ("eth2", "eth3")
    assert settings.hook == "xdp"


def test_grafana_from_the_environment_as_in_the_recipe(tmp_path):
    settings = load(tmp_path, "", GRAFANA_URL="http://127.0.0.1:3000", GRAFANA_TOKEN="glsa_canary")
    assert settings.grafana is not None
    assert settings.grafana.token == "glsa_canary"
    assert "canary" not in config.show(settings)
    assert "canary" not in repr(settings)
    assert load(tmp_path, "", GRAFANA_TOKEN="alone").grafana is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('\ninterfces = ["eth0"]\n', "line 2: `interfces` is not a setting; did you mean `interfaces`?"),
        ('hook = "tc"\n', "line 1: `hook`: invalid enum value 'tc'"),
        ("# a\n\nring_bytes = 5000\n", "ring_bytes must be a power of two, for instance 4096"),
        ("ring_bytes = 1\n", "line 1: `ring_bytes`: expected `int` >= 4096"),
        ('[output]\nformat = "xml"\n', "line 2: `output.format`: invalid enum value 'xml'"),
        ('[output]\n\nfomat = "csv"\n', "line 3: `output.fomat` is not a setting; did you mean `format`?"),
        ("interfaces = [1]\n", "line 1: `interfaces`: expected `str`, got `int`"),
        ("consume = true\n", 'consume needs hook = "xdp"'),
        ("a = = 3\n", "not TOML"),
        ('[grafana]\nurl = "http://127.0.0.1:3000"\ntoken = 5\n', "line 3: `grafana.token`: expected `str`"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, wanted):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert wanted in str(caught.value)
    assert "headwater.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "missing.toml", {})
    (tmp_path / "latin").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path / "latin", {})


def test_what_show_prints_is_a_configuration(tmp_path):
    settings = load(tmp_path, 'interfaces = ["a\\"b"]\nring_bytes = 8192\n[output]\ndirectory = "x"\n')
    assert load(tmp_path, config.show(settings)) == settings
