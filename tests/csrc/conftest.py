import aae_native
import pytest


@pytest.fixture(params=aae_native.build_info()["available_isas"])
def isa(request):
    before = aae_native.build_info()["isa"]
    aae_native.set_isa(request.param)
    yield request.param
    aae_native.set_isa(before)
