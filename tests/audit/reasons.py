"""Why a finding stays: key of the finding, or a pattern of keys, and the reason.

Each finding was seen before its reason was written; one without a reason fails the audit."""

from __future__ import annotations

_LAB = "The lab, not the role: "
_SCORE = "Not installed for a score: "

REASONS: dict[str, str] = {
    # -- containers -----------------------------------------------------------------------------------------------
    "container * 5.14 restarts without end": (
        "The benchmark wants on-failure with five tries. Then a service whose database is away for a minute stays "
        "away, and none comes back after a restart of the host. A deploy whose containers restart in a loop fails."
    ),
    "container landfall-* 5.11 no CPU limit": (
        "What stands before all services must not be slowed when all of them are busy: a quota of the edge or a relay "
        "is a quota of every service. The services themselves have theirs."
    ),
    "container landfall-edge/nginx 5.13 published on all addresses": (
        "The edge is what the host is for. `edge_address` publishes it on one address."
    ),
    "container landfall-relay-* 4.6 no healthcheck": (
        "Its configuration and its state are asked for through a unix socket by whoever changes them; a check by "
        "Docker would run a process every few seconds and change nothing, as Docker restarts no unhealthy container."
    ),
    # -- daemon ---------------------------------------------------------------------------------------------------
    "daemon 2.14 containers may gain privileges": (
        "As a default of the daemon it breaks images that use sudo or other setuid programs, of other projects too. "
        "Each container started here has it set for itself."
    ),
    "daemon 2.16 userland proxy": (
        "Without it Docker lets 127.0.0.0/8 be routed (route_localnet) to keep ports of the loopback reachable, and "
        "those of ::1 are not. That opens more than it shuts."
    ),
    "daemon 2.2 containers of the default bridge reach each other": (
        "Nothing here runs on the default bridge: each stack has networks of its own. Containers started there by "
        "hand would no longer reach each other. `docker_daemon_options: {icc: false}` sets it."
    ),
    "daemon 2.5 registry without TLS": _LAB + "its registry speaks plain HTTP.",
    "daemon 2.9 no user namespace": (
        "It moves the owners of all volumes and bind mounts, and images pulled before are not found any more: on a "
        "host with data it is a migration. Containers started here run without root and without capabilities instead."
    ),
    # -- TLS ------------------------------------------------------------------------------------------------------
    "testssl cert_revocation": _LAB + "the certificates of its CA name no revocation list. Let's Encrypt's do.",
    "testssl engine_problem": "Said of the auditor's own OpenSSL, which has no GOST.",
    # -- Lynis: what the lab is -----------------------------------------------------------------------------------
    "lynis LYNIS": "Said of the version of Lynis in Debian 13.",
    "lynis KRNL-5788": _LAB + "a container has no kernel of its own.",
    "lynis KRNL-6000": (
        "In a container the role sets net.* only; on a host of its own it also sets kernel.*, fs.* and dev.*. Three "
        "stay there too: forwarding is what containers need; rp_filter is 2 (loose), as 1 drops packets of hosts with "
        "two ways out and of overlay networks; log_martians fills the journal of a host with bridges."
    ),
    "lynis NAME-4028": _LAB + "its host has no domain name.",
    "lynis PKGS-7388": _LAB + "its images have Debian's main repository only.",
    "lynis FILE-6310 /*": "How the disk is divided is the provider's choice; a running host cannot change it.",
    # -- Lynis: programs ------------------------------------------------------------------------------------------
    "lynis ACCT-9622": _SCORE + "process accounting writes a record for each process, health checks of containers too.",
    "lynis ACCT-9626": _SCORE + "figures of the host come from its monitoring.",
    "lynis ACCT-9628": (
        _SCORE + "auditd without rules and somebody who reads it is a log that grows; with rules on exec, each health "
        "check of a container is an entry. Logins and sudo are in the journal."
    ),
    "lynis DEB-0280": _SCORE + "it changes TMPDIR of all sessions, scripts of operators among them.",
    "lynis DEB-0810": _SCORE + "it asks questions at installs, and nobody answers those of unattended upgrades.",
    "lynis DEB-0811": _SCORE + "it shows changes to somebody at a terminal.",
    "lynis DEB-0831": _SCORE
    + "on Ubuntu it restarts services in each run of apt; what restarts, and when, is decided here.",
    "lynis DEB-0880": (
        "Wants a copy of jail.conf as jail.local. The settings are in jail.d, where upgrades do not touch them and "
        "the distribution's own file stays readable."
    ),
    "lynis FINT-4350": (
        _SCORE
        + "a file integrity tool needs its database kept elsewhere and somebody who reads its mails; each deploy "
        "and each unattended upgrade is an alarm."
    ),
    "lynis HRDN-7230": _SCORE + "a malware scanner reads every layer of every image, as root.",
    "lynis PKGS-7370": _SCORE
    + "sums kept on the host itself prove little; `dpkg --verify` compares with them already.",
    "lynis PKGS-7394": _SCORE + "`apt list --upgradable` says the same, and security updates come by themselves.",
    # -- Lynis: accounts ------------------------------------------------------------------------------------------
    "lynis AUTH-9230": "Debian and Ubuntu hash with yescrypt, which has no rounds; the setting is for SHA-crypt.",
    "lynis AUTH-9262": "The role gives no account a password: login is by key. A strength test would ask nobody.",
    "lynis AUTH-9286 *": (
        "Ageing locks out accounts that log in by key: PAM refuses a login when the password is too old, whether "
        "there is one or not. That is a lock-out a year after the deploy."
    ),
    "lynis AUTH-9328": (
        "With 027 files that an operator puts into a project's directory cannot be read by containers that run "
        "without root, and they do not start."
    ),
    # -- Lynis: services ------------------------------------------------------------------------------------------
    "lynis BOOT-5180": (
        "Asks for a runlevel of System V; what starts at boot are units of systemd, which Lynis lists in another test."
    ),
    "lynis BOOT-5264": "Units are the distribution's: restrictions laid over them break with its next version.",
    "lynis FIRE-4513": "Rules without a packet so far: a firewall has rules for what did not happen yet.",
    "lynis LOGG-2154": "Where logs go is the operator's choice; the journal is kept on the host, with limits.",
    "lynis SSH-7408 AllowTcpForwarding": (
        "Local forwarding (ssh -L) is how operators reach databases that are published nowhere. Remote forwarding is "
        "off."
    ),
    "lynis SSH-7408 MaxSessions": (
        "Two sessions a connection are too few for ControlMaster, which Ansible and operators use. It bounds nothing "
        "of those who are not logged in."
    ),
    "lynis SSH-7408 Port": "Another port hides nothing from a scan. Port can be set in `hardening_ssh_options`.",
}
