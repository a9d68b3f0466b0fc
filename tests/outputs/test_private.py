"""What messages say of people does not come to those who keep it."""

from typing import Any

import numpy as np
import pytest

from headwater.outputs.private import private
from headwater.records import Batch, messages
from headwater.records.messages import message

HTTP = message("http")
FTP = message("ftp")
DNS = message("dns")
WEBSOCKET = message("websocket")


def one(record: Any, **values: Any) -> Batch:
    always = {"uid": bytes(12), "ts": 1, "id.orig_h": bytes(16), "id.resp_h": bytes(16), "id.orig_p": 1, "id.resp_p": 2}
    return Batch(record, messages.rows(record, [tuple({**always, **values}.get(column.name) for column in record.columns)]))


def test_canaries_do_not_come_through_and_others_see_them() -> None:
    given = one(HTTP, uri="/a?token=canary", referrer="http://x/b?canary#c", username="canary", password="canary", host="x")
    kept = private(queries=False, credentials=False)(given)
    assert "canary" not in repr(kept.rows)
    assert kept.rows[0]["uri"] == "/a?..."
    assert kept.rows[0]["host"] == "x"
    assert repr(given.rows).count("canary") == 4
    assert "canary" not in repr(private(queries=False, credentials=False)(one(FTP, password="canary")).rows)
    assert private(queries=False, credentials=False)(one(WEBSOCKET, uri="/feed?canary")).rows[0]["uri"] == "/feed?..."


@pytest.mark.parametrize("column", ["uri", "referrer"])
def test_a_user_in_a_uri_is_nobodys_business(column: str) -> None:
    given = one(HTTP, **{column: "http://canary:canary@x.test/a?b@c"})
    assert private(queries=True, credentials=False)(given).rows[0][column] == "http://x.test/a?b@c"
    assert private(queries=False, credentials=False)(given).rows[0][column] == "http://x.test/a?..."
    assert private(queries=False, credentials=True)(given).rows[0][column] == "http://canary:canary@x.test/a?..."
    for other in ("/a@b", "http://x.test/a@b", "http://x.test", "mail:a@b"):
        assert private(queries=False, credentials=False)(one(HTTP, **{column: other})).rows[0][column] == other


def test_what_is_asked_for_is_kept() -> None:
    given = one(HTTP, uri="/a?canary", username="canary")
    assert repr(private(queries=True, credentials=False)(given).rows).count("canary") == 1
    assert repr(private(queries=False, credentials=True)(given).rows).count("canary") == 1
    assert private(queries=True, credentials=True)(given) is given


def test_what_has_nothing_private_is_not_copied() -> None:
    for batch in (one(DNS, query="a"), Batch(HTTP, np.empty(0, HTTP.dtype))):
        assert private(queries=False, credentials=False)(batch) is batch
    assert private(queries=False, credentials=False)(one(HTTP, uri=None)).rows[0]["uri"] is None
