# shellcheck shell=bash
# What the stages share: what they need, who the routers are, how a command runs there, and the four questions.
# README.md tells about the variables.

COCO=${COCO:-coco}
COCO_RUN=${COCO_RUN-ssh -o BatchMode=yes}
COCO_HOME=${COCO_HOME:-/opt/coco}
COCO_CONFIG=${COCO_CONFIG:-/etc/coco/coco.toml}
COCO_RESTART=${COCO_RESTART:-systemctl restart coco}
COCO_VERIFY_SECONDS=${COCO_VERIFY_SECONDS:-60}
read -ra run <<< "$COCO_RUN"
read -ra all_routers <<< "${COCO_ROUTERS:-}"

# Exit statuses of all stages.
readonly SAYS_NO=1 USAGE=2 NEEDS_YOU=4

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

# STATUS TEXT…
fail() {
  unjudged=
  say "${0##*/}: ${*:2}"
  exit "$1"
}

# TEXT: a line of usage, when there are too few words.
usage() { fail "$USAGE" "usage: $1"; }

# VERSION, which becomes part of paths and commands.
sane() { [[ $1 =~ ^[0-9A-Za-z][0-9A-Za-z.+~-]*$ ]] || fail "$USAGE" "$1 is no version"; }

# Each that is called here; bash has the others itself.
missing=()
for tool in curl jq xargs mktemp date cat rm cmp sleep sha256sum "$COCO"; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
((${#missing[@]} == 0)) || fail "$USAGE" "no program ${missing[*]} here"

work=$(mktemp -d)
# The router on which this stage works, and no other one may meanwhile.
locked=
# The process that is to be judged, as `identity` knows it.
took_over=
# The router that has something new in force of which nobody knows yet whether it is well, and what to do about it.
unjudged='' advice=
trap ended EXIT

# Also after a signal, which decides about the status itself.
ended() {
  local running
  [[ -z $locked ]] || leave
  if [[ -n $unjudged ]]; then
    read -r _ _ _ _ running <<< "$(process "$unjudged" 2> /dev/null || true)"
    say "${0##*/} was ended too early: $unjudged runs ${running:-nothing that answers}, not judged; $advice"
  fi
  rm -rf "$work"
  [[ -z $unjudged ]] || exit "$NEEDS_YOU"
}

((${#all_routers[@]})) ||
  fail "$USAGE" 'COCO_ROUTERS names the routers: "router-1 router-2", or each as NAME=http://HOST:PORT'

# Quotes hold words together.
verify_more=$(xargs -r printf '%s\n' <<< "${COCO_VERIFY_ARGS:-}") ||
  fail "$USAGE" "COCO_VERIFY_ARGS has a quote without its other one: $COCO_VERIFY_ARGS"
mapfile -t verify_more < <(printf '%s' "$verify_more")
"$COCO" verify "${verify_more[@]}" --help > /dev/null || fail "$USAGE" "coco verify does not take COCO_VERIFY_ARGS"

# Bash would count with text too, and with 08 not at all.
[[ $COCO_VERIFY_SECONDS =~ ^[1-9][0-9]{0,3}$ ]] ||
  fail "$USAGE" "COCO_VERIFY_SECONDS is $COCO_VERIFY_SECONDS: it takes a whole number from 1 to 9999, as 60"

for path in "$COCO_HOME" "$COCO_CONFIG"; do
  [[ $path =~ ^/[0-9A-Za-z_./-]+$ ]] || fail "$USAGE" "$path is no plain absolute path"
done

name_of() { printf '%s' "${1%%=*}"; }

# WORD: is it a router's name?
is_router() {
  local router
  for router in "${all_routers[@]}"; do [[ ${router%%=*} != "${1%%=*}" ]] || return 0; done
  return 1
}

url_of() {
  local name=$1 router
  for router in "${all_routers[@]}"; do
    [[ ${router%%=*} == "$name" ]] || continue
    case $router in
      *=*) printf '%s' "${router#*=}" ;;
      *) printf 'http://%s:9090' "$router" ;;
    esac
    return
  done
  fail "$USAGE" "$name is not in COCO_ROUTERS ($COCO_ROUTERS)"
}

# ROUTER…: ends the stage if one of them is a name that is not known, before any of them is touched.
known() {
  local router
  for router in "$@"; do url_of "$(name_of "$router")" > /dev/null; done
}

# PROGRAMS ROUTER…: ends the stage if a router lacks one of these, or of what all stages call there, before any of
# them is touched. Who cannot be reached is told when its turn comes.
equipped() {
  local tools="mkdir rmdir rm cat cp mv ln readlink basename find ls tail chmod stat touch sha256sum $1" router lacks
  for router in "${@:2}"; do
    lacks=$(on "${router%%=*}" "for tool in $tools; do
      command -v \$tool > /dev/null || printf ' %s' \$tool; done" < /dev/null 2> /dev/null) || continue
    [[ -z $lacks ]] || fail "$USAGE" "${router%%=*} has no program$lacks"
  done
}

# ROUTER TEXT: runs the text by a shell there. Standard input goes along.
on() {
  if ((${#run[@]} == 0)); then bash -c "$2"; else "${run[@]}" "$1" "$2"; fi
}

# ROUTER: can something be done there at all?
reach() {
  on "$1" true < /dev/null || { say "$1 cannot be reached"; return 1; }
}

# ROUTER: the same, and the stage has it for itself until it comes to the next one, or ends.
take() {
  leave
  reach "$1" || return 1
  on "$1" "mkdir -p $COCO_HOME && mkdir $COCO_HOME/lock" < /dev/null || {
    say "$1: another stage is at work there; if none is, it was killed: rmdir $COCO_HOME/lock there"
    return 1
  }
  locked=$1
}

leave() {
  [[ -z $locked ]] || on "$locked" "rmdir $COCO_HOME/lock" < /dev/null || say "$locked keeps its $COCO_HOME/lock"
  locked=
}

# ROUTER: process id, time of its start, hand-overs up to it, failed ones, and version of what runs there.
process() {
  curl -fsS --max-time 5 "$(url_of "$1")/debug/vars" |
    jq -er '[.process.pid, .process.start_time, .process.upgrades, .coco.process.upgrade_failures | numbers] +
      [.process.version | strings] | select(length == 5) | join(" ")'
}

# ROUTER: the first two of these, by which a process is known; nothing if nobody answers.
identity() {
  local pid start
  read -r pid start _ <<< "$(process "$1" 2> /dev/null || true)"
  [[ -z $pid ]] || printf '%s' "$pid $start"
}

# ROUTER TEXT: runs it, and shows what it says if it fails.
there() {
  # Only there: what this stage says must not go to the file, whatever ends it.
  on "$1" "exec 2>&1; set -eu; $2" < /dev/null > "$work/there" || { cat "$work/there" >&2; return 1; }
}

# ROUTER SECONDS OPTIONS…: asks the four questions until all is well, of the process that took over. No is: critical
# three times in a row, another process, or not well when the time is over. Canaries are sent on the first turn and on
# the one that says yes: a target with little traffic would see them in its numbers.
verify() {
  local router=$1 deadline=$((SECONDS + $2)) critical=0 quiet=() status now
  shift 2
  while :; do
    status=0
    "$COCO" verify "${verify_more[@]}" "${quiet[@]}" "$@" "$(url_of "$router")" > "$work/verify" || status=$?
    now=$(identity "$router")
    if [[ -n $now && $now != "$took_over" ]]; then
      cat "$work/verify" >&2
      say "$router: process ${took_over% *} has ended, and ${now% *} was started anew"
      return 1
    fi
    # Who does not say which process it is may be another one.
    [[ -n $now ]] || ((status)) || status=3
    if ((status == 0 && ${#quiet[@]})); then
      quiet=()
      continue
    fi
    # A turn without canaries that is well does not end the row.
    critical=$((status == 2 ? critical + 1 : 0))
    if ((status == 0 || critical >= 3 || SECONDS >= deadline)); then
      cat "$work/verify" >&2
      return $((status != 0))
    fi
    [[ " ${verify_more[*]} " == *" --no-canary "* ]] || quiet=(--no-canary)
    sleep 1
  done
}

# FILE ROUTER…: keeps their numbers, which a process that is started anew does not have. A router that is ill already is
# not touched.
save() {
  local file=$1 urls=() router status=0
  shift
  for router in "$@"; do urls+=("$(url_of "$router")"); done
  # What was in the log before is no matter of this stage.
  "$COCO" verify "${verify_more[@]}" --since "$(date +%s)" --save "$file" "${urls[@]}" > "$work/verify" || status=$?
  if ((status == 2)) || [[ ! -s $file ]]; then
    cat "$work/verify" >&2
    fail "$SAYS_NO" "$* is not well before anything was done, and is left as it is"
  fi
}
