"""Microsoft's own clients against the double of Key Vault, and the double against recordings of the real one.

azure_clients.py EXCHANGES HOST:PORT ADDRESS-BESIDE CA TOKEN-FILE; the rest comes by the variables that the clients read.
"""

import http.client
import json
import os
import ssl
import sys
import urllib.request

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient

exchanges, place, beside, ca, token_file = sys.argv[1:]
tenant, client, secret = (os.environ[f"AZURE_{name}"] for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))


def login(proof=secret):
    return ClientSecretCredential(
        tenant, client, proof, authority=f"https://{place}", disable_instance_discovery=True, connection_verify=ca
    )


def vault(credential):
    return SecretClient(
        f"https://{place}", credential, verify_challenge_resource=False, connection_verify=ca, retry_total=0
    )


def trouble(**what):
    body = {"answer": None, "login_refused": False, "tokens_forgotten": False, **what}
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{beside}/double/trouble", json.dumps(body).encode(), headers, method="PUT")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()


def forbidden(call):
    try:
        call()
    except HttpResponseError as error:
        body = json.loads(error.response.text())
        return error.status_code, body["error"]["code"], body["error"].get("innererror", {}).get("code")
    raise AssertionError("it was allowed")


def recorded():
    """Status, headers and body, byte for byte; the secrets were put into the double before."""
    names = {"secret": "recorded", "missing": "nobody", "disabled": "switched-off", "no_token_gets_a_challenge": "any"}
    token = login().get_token("https://vault.azure.net/.default").token
    context = ssl.create_default_context(cafile=ca)
    seen = []
    for exchange in json.load(open(exchanges, encoding="utf-8"))["exchanges"]:
        request, name = exchange["request"], names[exchange["name"]]

        def filled(text):
            return text.replace("{name}", name).replace("{tenant}", tenant)

        headers = {"Host": "keyvault_name.vault.azure.net"}
        if request["authorization"]:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPSConnection(place, context=context)
        connection.request(request["method"], filled(request["path"]) + "?api-version=2025-07-01", headers=headers)
        reply = connection.getresponse()
        body = reply.read().decode()
        assert reply.status == exchange["status"], (exchange["name"], reply.status)
        for header, value in exchange["headers"].items():
            assert reply.headers[header] == filled(value), (exchange["name"], header, reply.headers[header])
        expected = filled(json.dumps(exchange["body"], separators=(",", ":"), ensure_ascii=False))
        assert body == expected, (exchange["name"], body, expected)
        seen.append(exchange["name"])
    assert sorted(seen) == sorted(names), seen


def application():
    keys = vault(login())
    first = keys.set_secret("flash-01", "sk-1")
    second = keys.set_secret("Flash-01", "sk-2")
    assert keys.get_secret("flash-01").value == "sk-2"
    assert keys.get_secret("flash-01", first.properties.version).value == "sk-1"
    versions = [one.version for one in keys.list_properties_of_secret_versions("flash-01")]
    assert versions == [first.properties.version, second.properties.version], versions
    keys.update_secret_properties("flash-01", enabled=False)
    assert forbidden(lambda: keys.get_secret("flash-01")) == (403, "Forbidden", "SecretDisabled")
    keys.update_secret_properties("flash-01", enabled=True)
    assert forbidden(lambda: keys.set_secret("flash_01", "sk-1")) == (400, "BadParameter", None)
    certificate = keys.set_secret("certificate", "MIIK", content_type="application/x-pkcs12")
    assert certificate.properties.content_type == "application/x-pkcs12"
    try:
        keys.get_secret("nobody")
        raise AssertionError("it is there")
    except ResourceNotFoundError as error:
        assert error.error.code == "SecretNotFound"
    trouble(answer={"status": 403, "code": "Forbidden", "inner": "ForbiddenByRbac", "retry_after": None})
    assert forbidden(lambda: keys.get_secret("flash-01")) == (403, "Forbidden", "ForbiddenByRbac")
    trouble(answer={"status": 429, "code": "Throttled", "inner": None, "retry_after": 7})
    assert forbidden(lambda: keys.get_secret("flash-01")) == (429, "Throttled", None)
    trouble()
    try:
        login("wrong").get_token("https://vault.azure.net/.default")
        raise AssertionError("a wrong secret is good enough")
    except ClientAuthenticationError as error:
        assert "AADSTS7000215" in str(error)


def identities():
    assert vault(ManagedIdentityCredential()).get_secret("flash-01").value == "sk-2"
    assert vault(ManagedIdentityCredential(client_id=client)).get_secret("flash-01").value == "sk-2"
    credential = WorkloadIdentityCredential(
        tenant_id=tenant,
        client_id=client,
        token_file_path=token_file,
        authority=f"https://{place}",
        disable_instance_discovery=True,
        connection_verify=ca,
    )
    assert vault(credential).get_secret("flash-01").value == "sk-2"


for part in (recorded, application, identities):
    part()
    print(part.__name__)
