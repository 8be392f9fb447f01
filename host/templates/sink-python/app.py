"""A store of objects over plain HTTP: the requests of S3, addressed by path, without signatures.

    agent -> Sink (this file) -> store.py: one request for each verb -> the agent sends it
                                    |
                                 answers.py: a status and a document become a value or a fault

Objects never come in here. `put` names the request that carries a sealed body, `get` hands back the response that the agent will
read; both are handles.

`wit_world` is the contract in wit/ as Python; componentize-py makes it while it builds. What is imported must be imported at the top:
the component is a snapshot of the interpreter after that.
"""

from typing import List, Optional

from componentize_py_types import Result
from wit_world import exports
from wit_world.exports.sink import CreateGuarantee, Description, EntriesPage
from wit_world.imports.bulk import SealedBody
from wit_world.imports.http import Incoming
from wit_world.imports.types import Extent, Fault

from store import OBJECT_BYTES_MAX, Store


class Sink(exports.Sink):
    """Any call may meet a fresh instance, so each one reads the settings; nothing is kept."""

    def describe(self) -> Description:
        # `If-None-Match: *` decides one winner. Say ADVISORY of a store that takes the header and does not keep to it.
        return Description(Store().product(), CreateGuarantee.ATOMIC, OBJECT_BYTES_MAX)

    def put(self, key: str, body: SealedBody) -> None:
        Store().put(key, body)

    def get(self, key: str, range: Optional[Extent]) -> Incoming:
        return Store().get(key, range)

    def head(self, key: str) -> Optional[int]:
        return Store().head(key)

    def entries(self, prefix: str, cursor: Optional[str]) -> EntriesPage:
        return Store().entries(prefix, cursor)

    def delete(self, keys: List[str]) -> List[Result[None, Fault]]:
        return Store().delete(keys)
