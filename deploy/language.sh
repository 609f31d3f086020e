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
  BEFORE=("${LC_ALL:-}" "${LANGUAGE:-}")
  export LC_ALL=C.UTF-8 LANGUAGE=$SPOKEN # a locale that is everywhere, and is not C, in which nothing is translated
  env >/dev/null # only where it starts a program does bash tell the C library, too, of new variables
}

end_words() {
  [ -n "${BEFORE+there}" ] || return 0
  LC_ALL=${BEFORE[0]} LANGUAGE=${BEFORE[1]}
  [ -n "$LC_ALL" ] || unset -v LC_ALL
  [ -n "$LANGUAGE" ] || unset -v LANGUAGE
  unset -v BEFORE
}
