# shellcheck shell=bash
# Which language ./lab speaks: that of LABKIT_LANGUAGE, else the locale's; English where it has no catalogue of it.
# bash itself translates each $"…" as it reads a file, with the catalogue lab.mo in labkit/locale. So files with such words
# are read between begin_words and end_words, and nothing of that is left for the programs that are started.

# shellcheck disable=SC2034 # bash reads them
TEXTDOMAIN=lab TEXTDOMAINDIR=$ROOT/labkit/locale
SPOKEN=${LABKIT_LANGUAGE:-${LABKIT_SPOKEN:-${LC_ALL:-${LC_CTYPE:-${LANG:-}}}}}
SPOKEN=${SPOKEN%%[_.@]*}
export LABKIT_SPOKEN=$SPOKEN # for our own scripts, when the locale has been settled

begin_words() {
  [ -e "$TEXTDOMAINDIR/$SPOKEN/LC_MESSAGES/lab.mo" ] || return 0
  # A locale under the language's own name, which may not be installed: under the names C and C.UTF-8 nothing is
  # translated (the latter from glibc 2.39 on), and what C.UTF-8 holds is everywhere.
  local everywhere
  for everywhere in /usr/lib/locale/C.utf8 /usr/lib/locale/C.UTF-8; do [ ! -d "$everywhere" ] || break; done
  [ -d "$everywhere" ] && PLACE=$(mktemp -d) || return 0
  ln -s "$everywhere" "$PLACE/$SPOKEN.utf8"
  BEFORE=("${LC_ALL:-}" "${LANGUAGE:-}" "${LOCPATH:-}")
  export LOCPATH=$PLACE LANGUAGE=$SPOKEN
  env >/dev/null # only where it starts a program does bash tell the C library, too, of new variables
  export LC_ALL=$SPOKEN.UTF-8
  env >/dev/null
}

end_words() {
  [ -n "${BEFORE+there}" ] || return 0
  rm -r "$PLACE"
  LC_ALL=${BEFORE[0]} LANGUAGE=${BEFORE[1]} LOCPATH=${BEFORE[2]}
  [ -n "$LC_ALL" ] || unset -v LC_ALL
  [ -n "$LANGUAGE" ] || unset -v LANGUAGE
  [ -n "$LOCPATH" ] || unset -v LOCPATH
  unset -v BEFORE PLACE
}
