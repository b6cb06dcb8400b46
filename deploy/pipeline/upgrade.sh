# shellcheck shell=bash
# How a version gets into force on a router, and how the one before comes back.

# How a package is put in place, with the configuration that is there.
readonly dpkg="dpkg --force-confold --install"

# ROUTER VERSION: makes it the one that is started there next.
start_next() {
  on "$1" "set -eu; cd $COCO_HOME; ln -sfn 'releases/$2' current.new; mv -T current.new current" < /dev/null
}

# ROUTER VERSION: the same, and remembers which one was.
choose() {
  on "$1" "set -eu; cd $COCO_HOME
    was=\$(readlink current || true)
    [ \"\$was\" != 'releases/$2' ] && [ -n \"\$was\" ] || exit 0
    ln -sfn \"\$was\" previous.new; mv -T previous.new previous" < /dev/null && start_next "$1" "$2"
}

# ROUTER: which version was before is no matter any more.
forget() { on "$1" "rm -f $COCO_HOME/previous" < /dev/null || say "$1 keeps its $COCO_HOME/previous"; }

# ROUTER VERSION: it runs; makes sure that it would be started next, too. A package may be in place of another one.
stay() {
  local release=$COCO_HOME/releases/$2
  if on "$1" "[ \"\$(readlink $COCO_HOME/current)\" = releases/$2 ]" < /dev/null; then return 0; fi
  start_next "$1" "$2" && there "$1" "[ ! -f $release/coco.deb ] || $dpkg $release/coco.deb" || return 1
  forget "$1"
}

# ROUTER VERSION: hands over to it. A package does so by itself when it is installed.
hand_over() {
  local router=$1 version=$2 pid start upgrades failures running
  read -r pid start upgrades failures running <<< "$(process "$router")"
  [[ -n $running ]] || { say "$router does not tell which process it is"; return 1; }
  took_over="$pid $start"
  [[ $running != "$version" ]] || return 0
  say "$router: $running hands over to $version"
  there "$router" "cd $COCO_HOME/releases/$version
    if [ -f coco.deb ]; then $dpkg coco.deb; else kill -USR2 $pid; fi" || return 1
  appears "$router" "$version" "$failures" "$upgrades"
}

# ROUTER VERSION: starts it where nobody is left who could hand over. Who hangs is ended by that.
start_anew() {
  say "$1 does not answer, and $2 is started anew"
  there "$1" "[ ! -f $COCO_HOME/releases/$2/coco.deb ] || $dpkg $COCO_HOME/releases/$2/coco.deb
    $COCO_RESTART" || return 1
  appears "$1" "$2"
}

# ROUTER VERSION [FAILURES UPGRADES]: waits until it runs, or until there are more failed upgrades than these. One that
# took over counts one hand-over more; one that was started anew after a crash counts none.
appears() {
  local deadline=$((SECONDS + 70)) pid start upgrades failures running
  while ((SECONDS < deadline)); do
    # Nobody may answer for a moment.
    read -r pid start upgrades failures running <<< "$(process "$1" 2> /dev/null || true)"
    if [[ $running == "$2" ]]; then
      took_over="$pid $start"
      ((upgrades > ${4:--1})) && return 0
      say "$1: $2 took over and ended, and was started anew"
      return 1
    fi
    if [[ -n $running && -n ${3-} && $failures != "$3" ]]; then
      say "$1: the new process was not ready, and the old one goes on; its log says why"
      return 1
    fi
    sleep 0.2
  done
  say "$1: $2 does not run within 70 s"
  return 1
}

# ROUTER VERSION BEFORE: hands over to it, or starts it, and asks the questions, against numbers from before.
go_back() {
  local since pid start running
  unjudged=$1 advice="rollback $2 $1 goes on"
  # First of all: whoever starts the service from now on, starts this one.
  start_next "$1" "$2" || return 1
  hand_over "$1" "$2" || {
    read -r pid start _ _ running <<< "$(process "$1" 2> /dev/null || true)"
    if [[ -z $running ]]; then
      start_anew "$1" "$2"
    elif [[ $running == "$2" ]]; then
      # The bad one has ended meanwhile, and the service has started this one.
      took_over="$pid $start"
    else
      # Another process than the one that was asked to, or nothing more can be done.
      [[ "$pid $start" != "$took_over" ]] && hand_over "$1" "$2"
    fi
  } || return 1
  # It has the numbers of the bad one too, which count as before.
  since=$(($(date +%s) + 1))
  verify "$1" 40 --since "$since" --before "$3" --expect-version "$2" || return 1
  forget "$1"
  unjudged=
}

# ROUTER VERSION FILE: the version runs there already; gives the numbers from before, and sets which version was. Of
# numbers that are old nobody knows what has changed since, and the version is no new one any more: it is judged, and
# stays.
again() {
  local router=$1 version=$2 start upgrades
  read -r took_over start upgrades _ <<< "$(process "$router")"
  took_over+=" $start"
  on "$router" "cd $COCO_HOME/releases/$version; [ -n \"\$(find before.json -mmin -15)\" ] && cat before.json" \
    < /dev/null > "$3" 2> /dev/null || {
    verify "$router" "$COCO_VERIFY_SECONDS" --since "$(($(date +%s) - 60))" --expect-version "$version" ||
      fail "$SAYS_NO" "$router runs $version already, is not well, and is left as it is"
    return 1
  }
  running=$(on "$router" "basename \"\$(readlink $COCO_HOME/previous)\"" < /dev/null 2> /dev/null || true)
  ((${upgrades:-0})) || { anew=yes; say "$router: $version took over and ended, and was started anew"; }
}

# ROUTER VERSION: upgrades it; if the new version is not well, goes back to the one before and ends with a no.
upgrade() {
  local router=$1 version=$2 running before now anew='' release=$COCO_HOME/releases/$2
  before=$work/before-$router
  on "$router" "[ -x $release/coco ]" < /dev/null || fail "$USAGE" "$router has no $release: call install first"
  read -r _ _ _ _ running <<< "$(process "$router")"
  [[ -n $running ]] || fail "$SAYS_NO" "$router does not answer"
  if [[ $running == "$version" ]]; then
    # Called again: the numbers from before are where the first call left them.
    again "$router" "$version" "$before" || return 0
  else
    on "$router" "[ -x $COCO_HOME/releases/$running/coco ]" < /dev/null ||
      fail "$USAGE" "$router has no $COCO_HOME/releases/$running, so there is no way back: install that one first"
    save "$before" "$router"
    on "$router" "cat > $release/before.json" < "$before" || fail "$SAYS_NO" "$router does not keep its numbers"
  fi
  unjudged=$router advice="canary $version $router asks again, rollback $running $router goes back"
  if [[ -z $anew ]] && choose "$router" "$version" && hand_over "$router" "$version" &&
    verify "$router" "$COCO_VERIFY_SECONDS" --before "$before" --expect-version "$version"; then
    unjudged=
    return 0
  fi
  say "$router: $version is not well"
  read -r _ _ _ _ now <<< "$(process "$router" 2> /dev/null || true)"
  if [[ -n $now && $now == "$running" ]]; then
    # A package is in place all the same, and would be started next.
    stay "$router" "$running" || fail "$NEEDS_YOU" "$router runs $running, but would start $version"
    fail "$SAYS_NO" "$router runs $running all the time, and nothing has changed"
  fi
  [[ -n $running ]] || fail "$NEEDS_YOU" "$router: nobody knows which version was before"
  go_back "$router" "$running" "$before" || fail "$NEEDS_YOU" "$router: $running is not well either"
  fail "$SAYS_NO" "$router runs $running again"
}
