"""The verifier of all servers that are guarded by Stagedoor: as an application has it that issues the tokens too."""

from material import AUDIENCE, ISSUER, SECRET

from stagedoor import Issuer, KeySet, Peppers
from stagedoor.stores.memory import MemoryStore

issuer = Issuer(
    ISSUER, audience=AUDIENCE, store=MemoryStore(), keys=KeySet.from_secret(SECRET.encode()), peppers=Peppers.generate(), access="1h"
)
verifier = issuer.verifier()
