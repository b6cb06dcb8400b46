# shellcheck shell=bash
# What the stages share: who the routers are, how a command runs there, how a version gets into force, and the
# four questions. README.md tells about the variables.

COCO=${COCO:-coco}
COCO_RUN=${COCO_RUN-ssh -o BatchMode=yes}
COCO_HOME=${COCO_HOME:-/opt/coco}
COCO_CONFIG=${COCO_CONFIG:-/etc/coco/coco.toml}
COCO_RESTART=${COCO_RESTART:-systemctl restart coco}
COCO_VERIFY_SECONDS=${COCO_VERIFY_SECONDS:-60}
read -ra run <<< "$COCO_RUN"
read -ra all_routers <<< "${COCO_ROUTERS:-}"

# How a package is put in place, with the configuration that is there.
readonly dpkg="dpkg --force-confold --install"

# Exit statuses of all stages.
readonly SAYS_NO=1 USAGE=2 NEEDS_YOU=4

work=$(mktemp -d)
# The router on which this stage works, and no other one may meanwhile.
locked=
trap '[[ -z $locked ]] || leave; rm -rf "$work"' EXIT

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

# STATUS TEXT…
fail() {
  say "${0##*/}: ${*:2}"
  exit "$1"
}

# TEXT: a line of usage, when there are too few words.
usage() { fail "$USAGE" "usage: $1"; }

# VERSION, which becomes part of paths and commands.
sane() { [[ $1 =~ ^[0-9A-Za-z][0-9A-Za-z.+~-]*$ ]] || fail "$USAGE" "$1 is no version"; }

((${#all_routers[@]})) ||
  fail "$USAGE" 'COCO_ROUTERS names the routers: "router-1 router-2", or each as NAME=http://HOST:PORT'

# Quotes hold words together.
verify_more=$(xargs -r printf '%s\n' <<< "${COCO_VERIFY_ARGS:-}") ||
  fail "$USAGE" "COCO_VERIFY_ARGS has a quote without its other one: $COCO_VERIFY_ARGS"
mapfile -t verify_more < <(printf '%s' "$verify_more")

for path in "$COCO_HOME" "$COCO_CONFIG"; do
  [[ $path =~ ^/[0-9A-Za-z_./-]+$ ]] || fail "$USAGE" "$path is no plain absolute path"
done

for tool in curl jq "$COCO"; do
  command -v "$tool" > /dev/null || fail "$USAGE" "no program $tool here"
done

name_of() { printf '%s' "${1%%=*}"; }

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

# ROUTER: process id, version, and failed upgrades of what runs there.
process() {
  curl -fsS --max-time 5 "$(url_of "$1")/debug/vars" |
    jq -er '[.process.pid, .process.version, .coco.process.upgrade_failures] | map(values) |
      select(length == 3) | join(" ")'
}

# ROUTER VERSION: makes it the one that is started there, and remembers which one was.
choose() {
  on "$1" "set -eu; cd $COCO_HOME
    was=\$(readlink current || true)
    [ \"\$was\" != 'releases/$2' ] || exit 0
    [ -z \"\$was\" ] || { ln -sfn \"\$was\" previous.new; mv -T previous.new previous; }
    ln -sfn 'releases/$2' current.new; mv -T current.new current" < /dev/null
}

# ROUTER: which version was before is no matter any more.
forget() { on "$1" "rm -f $COCO_HOME/previous" < /dev/null; }

# ROUTER VERSION: hands over to it. A package does so by itself when it is installed.
hand_over() {
  local router=$1 version=$2 pid running failures
  read -r pid running failures <<< "$(process "$router")"
  [[ -n $failures ]] || { say "$router does not tell which process it is"; return 1; }
  choose "$router" "$version" || return 1
  [[ $running != "$version" ]] || return 0
  say "$router: $running hands over to $version"
  there "$router" "cd $COCO_HOME/releases/$version
    if [ -f coco.deb ]; then $dpkg coco.deb; else kill -USR2 $pid; fi" || return 1
  appears "$router" "$version" "$failures"
}

# ROUTER VERSION: starts it where nobody is left who could hand over. Who hangs is ended by that.
start_anew() {
  say "$1 does not answer, and $2 is started anew"
  there "$1" "[ ! -f $COCO_HOME/releases/$2/coco.deb ] || $dpkg $COCO_HOME/releases/$2/coco.deb
    $COCO_RESTART" || return 1
  appears "$1" "$2"
}

# ROUTER TEXT: runs it, and shows what it says if it fails.
there() {
  on "$1" "set -eu; $2" < /dev/null > "$work/there" 2>&1 || { cat "$work/there" >&2; return 1; }
}

# ROUTER VERSION [FAILURES]: waits until it runs, or until there are more failed upgrades than these.
appears() {
  local now deadline=$((SECONDS + 70))
  while ((SECONDS < deadline)); do
    # Nobody may answer for a moment.
    now=$(process "$1" 2> /dev/null || true)
    [[ $now != *" $2 "* ]] || return 0
    if [[ -n $now && -n ${3-} && ${now##* } != "$3" ]]; then
      say "$1: the new process was not ready, and the old one goes on; its log says why"
      return 1
    fi
    sleep 0.2
  done
  say "$1: $2 does not run within 70 s"
  return 1
}

# SECONDS OPTIONS…: asks the four questions until all is well. No is: critical three times in a row, or not well
# when the time is over.
verify() {
  local deadline=$((SECONDS + $1)) critical=0 status
  shift
  while :; do
    status=0
    "$COCO" verify "${verify_more[@]}" "$@" > "$work/verify" || status=$?
    critical=$((status == 2 ? critical + 1 : 0))
    if ((status == 0 || critical >= 3 || SECONDS >= deadline)); then
      cat "$work/verify" >&2
      return $((status != 0))
    fi
    sleep 1
  done
}

# FILE ROUTER…: keeps their numbers, which a process that is started anew does not have. A router that is ill already is not touched.
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

# ROUTER VERSION BEFORE: hands over to it, or starts it, and asks the questions, against numbers from before.
go_back() {
  local since
  # First of all: whoever starts the service from now on, starts this one.
  choose "$1" "$2" || return 1
  hand_over "$1" "$2" || {
    [[ -z $(process "$1" 2> /dev/null || true) ]] && start_anew "$1" "$2"
  } || return 1
  forget "$1"
  # It has the numbers of the bad one too, which count as before.
  since=$(($(date +%s) + 1))
  verify 40 --since "$since" --before "$3" --expect-version "$2" "$(url_of "$1")"
}

# ROUTER VERSION: upgrades it; if the new version is not well, goes back to the one before and ends with a no.
upgrade() {
  local router=$1 version=$2 running before now release=$COCO_HOME/releases/$2
  before=$work/before-$router
  on "$router" "[ -x $release/coco ]" < /dev/null || fail "$USAGE" "$router has no $release: call install first"
  read -r _ running _ <<< "$(process "$router")"
  [[ -n $running ]] || fail "$SAYS_NO" "$router does not answer"
  if [[ $running == "$version" ]]; then
    # Called again: the numbers from before are where the first call left them. Of those that are old nobody knows
    # what has changed since, and the version is no new one any more: it is judged, and stays.
    if ! on "$router" "cd $release; [ -n \"\$(find before.json -mmin -15)\" ] && cat before.json" \
      < /dev/null > "$before" 2> /dev/null; then
      verify "$COCO_VERIFY_SECONDS" --since "$(($(date +%s) - 60))" --expect-version "$version" \
        "$(url_of "$router")" || fail "$SAYS_NO" "$router runs $version already, is not well, and is left as it is"
      return 0
    fi
    running=$(on "$router" "basename \"\$(readlink $COCO_HOME/previous)\"" < /dev/null 2> /dev/null || true)
  else
    on "$router" "[ -x $COCO_HOME/releases/$running/coco ]" < /dev/null ||
      fail "$USAGE" "$router has no $COCO_HOME/releases/$running, so there is no way back: install that one first"
    save "$before" "$router"
    on "$router" "cat > $release/before.json" < "$before"
  fi
  if hand_over "$router" "$version" &&
    verify "$COCO_VERIFY_SECONDS" --before "$before" --expect-version "$version" "$(url_of "$router")"; then
    return 0
  fi
  say "$router: $version is not well"
  read -r _ now _ <<< "$(process "$router" 2> /dev/null || true)"
  if [[ -n $now && $now == "$running" ]]; then
    # A package is in place all the same, and would be started next.
    release=$COCO_HOME/releases/$running
    { choose "$router" "$running" && there "$router" "[ ! -f $release/coco.deb ] || $dpkg $release/coco.deb"; } ||
      fail "$NEEDS_YOU" "$router runs $running, but would start $version"
    forget "$router"
    fail "$SAYS_NO" "$router runs $running all the time, and nothing has changed"
  fi
  [[ -n $running ]] || fail "$NEEDS_YOU" "$router: nobody knows which version was before"
  go_back "$router" "$running" "$before" || fail "$NEEDS_YOU" "$router: $running is not well either"
  fail "$SAYS_NO" "$router runs $running again"
}
