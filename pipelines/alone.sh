# shellcheck shell=bash
# . alone.sh FILE: locks FILE's name for this shell and what it starts, until all of them have ended; where others have it, that
# is the end. Where there are no locks (or no flock), there are none.
exec 9>>"$(dirname "$1")/.$(basename "$1").lock"
flock -n 9 || [ $? -ne 1 ] || { echo "$1: another make is at it" >&2; exit 1; }
