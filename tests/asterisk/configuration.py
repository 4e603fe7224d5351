"""Write the Asterisk configuration of a VICIdial dialer, as VICIdial's samples and its keepalive script shape it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CARRIER_PATTERN = "_91NXXNXXXXXX"
CALL_LOG_URL = "agi://127.0.0.1:4577/"
SECRET = "1234"

_MODULE_FOLDERS = ("usr/lib/asterisk/modules", "usr/lib/*/asterisk/modules")
_LOADED = (
    "app_db app_dial app_exec app_originate app_playback app_stack app_system app_userevent app_verbose "
    "bridge_* chan_bridge_media chan_pjsip codec_* format_pcm format_sln "
    "func_* pbx_config res_agi res_clialiases res_convert res_crypto res_curl res_format_attr_* res_geolocation "
    "res_http_websocket res_pjproject res_pjsip* res_rtp_asterisk res_sorcery_* res_speech res_srtp "
    "res_stir_shaken res_timing_*"
)
# They need configuration or a server that the lab has not, and say so in the log.
_NOT_LOADED = (
    "func_odbc func_realtime func_vmcount func_enum func_srv func_callcompletion func_speex func_pitchshift "
    "func_periodic_hook res_pjsip_config_wizard "
    "res_pjsip_phoneprov_provider res_pjsip_transport_websocket res_pjsip_publish_asterisk res_pjsip_send_to_voicemail "
    "res_pjsip_notify res_pjsip_history res_pjsip_stir_shaken res_pjsip_geolocation res_sorcery_realtime"
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Say where the parts of one lab run listen, all on 127.0.0.1."""

    ami: int
    sip: int
    carrier: int
    call_log: int


@dataclass(frozen=True, slots=True)
class DialerOptions:
    """Choose what differs between lab runs.

    hook_lines go between `call_log` and `Dial` of the carrier entry: whole `exten =>`/`same =>` lines, or only what
    follows the pattern (`n,Set(...)`). carrier_entry, if given, replaces the whole entry. In both, VICIdial's
    `agi://127.0.0.1:4577/` becomes the lab's own call_log. trunk_options are further lines of the PJSIP endpoint;
    the default is VICIdial's sample.
    """

    hook_lines: Sequence[str] = ()
    carrier_entry: Sequence[str] | None = None
    manager_general: str = ""
    manager_users: str = ""
    trunk_options: Sequence[str] = ("trust_id_inbound=yes",)
    agent_s: int = 600


def write_configuration(root: Path, run: Path, ports: Ports, options: DialerOptions) -> None:
    """Write `run`/etc, where `run` is a folder within the chroot `root`."""
    modules = next(path for pattern in _MODULE_FOLDERS for path in root.glob(pattern))
    etc = run / "etc"
    etc.mkdir(exist_ok=True)
    texts = {
        "asterisk.conf": _asterisk(_inside(root, run), _inside(root, modules)),
        "modules.conf": _modules(modules),
        "manager.conf": _manager(ports, options),
        "extensions.conf": dialplan(ports, options),
        "pjsip.conf": _pjsip(ports, options),
        "logger.conf": "[general]\ndateformat=%F %T.%3q\n[logfiles]\nmessages => notice,warning,error\n",
        "rtp.conf": "[general]\nrtpstart=10000\nrtpend=19999\nicesupport=no\n",
        # Asterisk reads these whether the modules that own them are loaded or not.
        "ccss.conf": "[general]\n",
        "cdr.conf": "[general]\nenable=no\n",
        "cel.conf": "[general]\nenable=no\n",
        "cli_aliases.conf": "[general]\n",
        "features.conf": "[general]\n",
        "http.conf": "[general]\nenabled=no\n",
        "indications.conf": "[general]\ncountry=us\n[us]\ndescription=United States\nring=440+480/2000,0/4000\n",
        "udptl.conf": "[general]\n",
    }
    texts |= {f"{name}.conf": "" for name in ("acl", "geolocation", "pjproject", "stir_shaken")}
    for name, text in texts.items():
        (etc / name).write_text(text)


def dialplan(ports: Ports, options: DialerOptions) -> str:
    """Return extensions.conf: the carrier entry, the agents' rooms, and where VICIdial sends an answered call."""
    call_log = f"agi://127.0.0.1:{ports.call_log}/"
    end = (
        f"exten => h,1,AGI({call_log}call_log--HVcauses--PRI-----NODEBUG-----${{HANGUPCAUSE}}-----${{DIALSTATUS}}"
        "-----${DIALEDTIME}-----${ANSWEREDTIME}-----${HANGUPCAUSE(${HANGUPCAUSE_KEYS()},tech)}))"
    )
    entry = [_whole_line(line).replace(CALL_LOG_URL, call_log) for line in _carrier_entry(options)]
    lines = [
        "[general]",
        "static=yes",
        "writeprotect=yes",
        "[globals]",
        "PJTRUNK=carrier",
        "[vicidial-auto-external]",
        end,
        *entry,
        "[vicidial-auto]",
        end,
        "include => vicidial-auto-external",
        "[default]",
        end,
        "include => vicidial-auto",
        "; an agent's room",
        "exten => _8600XXX,1,Answer()",
        "exten => _8600XXX,n,Wait(3600)",
        "exten => _8600XXX,n,Hangup()",
        "; the originated half of an answered V call waits here, while VICIdial redirects the trunk",
        "exten => _1383XX,1,Wait(10)",
        "exten => _1383XX,n,Hangup()",
        "; the trunk, with its agent: VICIdial's AGI does SET CALLERID with the code, which blanks the number",
        f"exten => 8368,1,AGI({call_log}call_log)",
        "exten => 8368,n,Set(CALLERID(all)=${CALLERID(name)})",
        f"exten => 8368,n,Wait({options.agent_s})",
        "exten => 8368,n,Hangup()",
        "[trunkinbound]",
        "exten => s,1,Hangup()",
    ]
    return "\n".join(lines) + "\n"


def _carrier_entry(options: DialerOptions) -> list[str]:
    if options.carrier_entry is not None:
        return list(options.carrier_entry)
    return [
        f"1,AGI({CALL_LOG_URL}call_log)",
        *options.hook_lines,
        "n,Dial(PJSIP/${EXTEN:1}@${PJTRUNK},${CAMPDTO},To)",
        "n,Hangup()",
    ]


def _whole_line(line: str) -> str:
    line = line.strip()
    if not line or line.startswith((";", "exten", "same")):
        return line
    return f"exten => {CARRIER_PATTERN},{line}"


def _inside(root: Path, path: Path) -> PurePosixPath:
    return PurePosixPath("/") / path.relative_to(root)


def _asterisk(run: PurePosixPath, modules: PurePosixPath) -> str:
    folders = {"etc": "etc", "db": "db", "run": "run", "log": "log", "spool": "spool", "cache": "cache"}
    own = [f"ast{name}dir => {run / folder}" for name, folder in folders.items()]
    shared = [
        f"astmoddir => {modules}",
        "astvarlibdir => /var/lib/asterisk",
        "astkeydir => /var/lib/asterisk",
        "astdatadir => /usr/share/asterisk",
        "astagidir => /usr/share/asterisk/agi-bin",
        "astsbindir => /usr/sbin",
    ]
    return "\n".join(["[directories]", *own, *shared, "[options]", "nocolor = yes", "verbose = 0"]) + "\n"


def _modules(modules: Path) -> str:
    found = {path.stem for pattern in _LOADED.split() for path in modules.glob(f"{pattern}.so")}
    loads = [f"load = {name}.so" for name in sorted(found.difference(_NOT_LOADED.split()))]
    return "\n".join(["[modules]", "autoload = no", *loads]) + "\n"


def _manager(ports: Ports, options: DialerOptions) -> str:
    everything = "system,call,log,verbose,command,agent,user,config,dtmf,reporting,cdr,dialplan,originate"
    users = {
        "sendcron": f"read = command\nwrite = {everything}",
        # Stands for VICIdial's own scripts that see an answer and redirect the trunk.
        "labcron": f"read = call\nwrite = {everything}",
        "rotator": "read = call,dialplan\nwrite = call,system,reporting\nwritetimeout = 5000",
    }
    access = "deny = 0.0.0.0/0.0.0.0\npermit = 127.0.0.1/255.255.255.255"
    stanzas = [f"[{name}]\nsecret = {SECRET}\n{access}\n{rights}" for name, rights in users.items()]
    general = f"[general]\nenabled = yes\nport = {ports.ami}\nbindaddr = 127.0.0.1\ntimestampevents = yes"
    return "\n".join([general, options.manager_general, *stanzas, options.manager_users]) + "\n"


def _pjsip(ports: Ports, options: DialerOptions) -> str:
    lines = [
        "[transport-udp]",
        "type=transport",
        "protocol=udp",
        f"bind=127.0.0.1:{ports.sip}",
        "[carrier]",
        "type=aor",
        f"contact=sip:127.0.0.1:{ports.carrier}",
        "[carrier]",
        "type=endpoint",
        "context=trunkinbound",
        "aors=carrier",
        "transport=transport-udp",
        "disallow=all",
        "allow=ulaw",
        "direct_media=no",
        *options.trunk_options,
    ]
    return "\n".join(lines) + "\n"
