"""The command line: one program, `trustcenter`.

Commands are loaded when they are called, so `trustcenter --help` imports neither aiohttp nor numpy. Data goes to
stdout, messages to stderr as `error:` and `hint:` lines. Exit codes: 0 done, 1 usage or local, 2 server or
remote, 3 verification failed, 4 refused by policy, 130 interrupted.
"""

from __future__ import annotations

import click

import trustcenter

from .base import LazyGroup

_COMMANDS = {
    "Try it": {
        "demo": ("trustcenter.cli.operate.local:demo", "Run the whole job with synthetic sites."),
    },
    "Run an instance, on its machine": {
        "init": ("trustcenter.cli.operate.local:init", "Create an instance in a new directory."),
        "serve": ("trustcenter.cli.operate.local:serve", "Run the service."),
        "doctor": ("trustcenter.cli.operate.local:doctor", "Check an instance and say what to mend."),
        "fsck": ("trustcenter.cli.operate.backup:fsck", "Check that everything stored fits together."),
        "backup": ("trustcenter.cli.operate.backup:backup", "Back up one part of an instance, while it runs."),
        "restore": ("trustcenter.cli.operate.restore:restore", "Put backups in place, or test them."),
        "reopen": ("trustcenter.cli.operate.reopen:reopen", "Let an older database serve again; two people sign."),
        "migrate": ("trustcenter.cli.operate.migrate:migrate", "Move an instance from its files to PostgreSQL."),
        "rooms": (
            "trustcenter.cli.operate.rooms:rooms",
            "Registrar and comparator apart: pair them, and connect sites to both.",
        ),
        "operator-token": ("trustcenter.cli.operate.recovery:operator_token", "Let an operator in again."),
        "renew-certificate": (
            "trustcenter.cli.operate.recovery:renew_certificate",
            "Make a new server certificate, where `init` made the old one.",
        ),
    },
    "Sites, people, domains, keys": {
        "site": ("trustcenter.cli.members.site:site", "Participating institutions and their tokens."),
        "staff": ("trustcenter.cli.members.staff:staff", "People at the trust center and their personal keys."),
        "domain": ("trustcenter.cli.pseudonyms.domain:domain", "Pseudonym domains."),
        "keys": ("trustcenter.cli.keys.group:keys", "Key versions and their rotation."),
    },
    "Pseudonyms, at a site": {
        "pseudonymize": (
            "trustcenter.cli.pseudonyms.columns:pseudonymize",
            "Replace identifiers in CSV, Parquet or FHIR files by pseudonyms.",
        ),
        "translate": (
            "trustcenter.cli.pseudonyms.columns:translate",
            "Bring pseudonyms to the current key version, or into another domain.",
        ),
        "validate": (
            "trustcenter.cli.pseudonyms.bulk:validate",
            "Say of every pseudonym whether it is live: ok, wrong_check_characters or unknown_pseudonym.",
        ),
        "additional": (
            "trustcenter.cli.pseudonyms.bulk:additional",
            "Make further pseudonyms of originals, in a domain that has several per original.",
        ),
        "import": (
            "trustcenter.cli.pseudonyms.bulk:import_",
            "Take over pairs of original and pseudonym from another system.",
        ),
        "anonymise": (
            "trustcenter.cli.pseudonyms.bulk:anonymise",
            "Drop the way back from pseudonyms to their originals, for ever.",
        ),
        "delete": ("trustcenter.cli.pseudonyms.bulk:delete", "Erase pseudonyms of a domain that allows it, for ever."),
        "reidentify": (
            "trustcenter.cli.pseudonyms.reidentify:reidentify",
            "Originals of pseudonyms, under dual control.",
        ),
        "consent": ("trustcenter.cli.consent:consent", "Consent: policies, what sites send, and whether it is there."),
        "subject": ("trustcenter.cli.pseudonyms.subject:subject", "What the centre holds and did about one pseudonym."),
        "pseudonym": ("trustcenter.cli.pseudonyms.check:pseudonym", "Check pseudonyms offline."),
    },
    "Studies and linkage": {
        "study": ("trustcenter.cli.study.group:study", "Studies: set up, register, upload, link, release."),
        "practice": (
            "trustcenter.cli.practice.group:practice",
            "Practices and rescue services in a study, without a server.",
        ),
        "recipient": ("trustcenter.cli.recipient:recipient", "For data recipients: keys and sealed join maps."),
        "linkage": ("trustcenter.cli.linkage.group:linkage", "Record linkage without a service."),
    },
    "Audit": {
        "audit": ("trustcenter.cli.audit.group:audit", "Export the audit log, and verify it offline."),
    },
}


@click.group(
    cls=LazyGroup,
    sections=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""Connection: commands that speak to a service need --connect FILE or TRUSTCENTER_CONNECT.

    Exit codes: 0 done, 1 usage or local, 2 server or remote, 3 verification failed,
    4 refused by policy, 130 interrupted.""",
)
@click.version_option(
    trustcenter.__version__, "-V", "--version", prog_name="trustcenter", message="%(prog)s %(version)s"
)
def main() -> None:
    """Pseudonyms and record linkage for hospitals, through an isolated trust center.

    Examples:
      trustcenter demo
      trustcenter pseudonymize patients.csv --column pid --domain uk-nord -o out.csv --connect site.toml
      trustcenter linkage match north/ south/ -o joined/
    """
