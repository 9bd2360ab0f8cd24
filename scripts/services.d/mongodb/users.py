"""Makes the users of the MongoDB tests: users.py ADDRESS [CA CLIENT], the password on the input.

CLIENT is the path of a certificate and key without .pem and .key. Users that are there already
are left alone.
"""

import sys

from pymongo import MongoClient
from pymongo.errors import OperationFailure

USERS = {
    "admin": {
        "dt_both": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
        "dt_sha1": ["SCRAM-SHA-1"],
        "dt_sha256": ["SCRAM-SHA-256"],
        "root": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
        "rwuser": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
    },
    "dt_login": {"dt_app": ["SCRAM-SHA-256"]},
}
ALREADY_EXISTS = 51003


def options(authority=None, client=None):
    if authority is None:
        return {}
    both = f"{client}.both"
    with open(both, "w", encoding="ascii") as out:
        for part in (".pem", ".key"):
            with open(client + part, encoding="ascii") as text:
                out.write(text.read())
    return {"tls": True, "tlsCAFile": authority, "tlsCertificateKeyFile": both}


def main(address, *tls):
    password = sys.stdin.read().strip()
    with MongoClient(
        f"mongodb://{address}",
        username="dialtone",
        password=password,
        directConnection=True,
        serverSelectionTimeoutMS=3000,
        **options(*tls),
    ) as server:
        for database, users in USERS.items():
            for name, mechanisms in users.items():
                try:
                    server[database].command("createUser", name, pwd=password, roles=[], mechanisms=mechanisms)
                except OperationFailure as refused:
                    if refused.code != ALREADY_EXISTS:
                        raise


main(*sys.argv[1:])
