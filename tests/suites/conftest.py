"""A suite of six lines, loaded while the components of `suite_components` alone are registered."""

import pytest

from tests.suite_components import loader, registered_alone


@pytest.fixture
def suite(tmp_path):
    with registered_alone():
        yield loader(tmp_path)
