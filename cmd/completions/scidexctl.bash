# bash completion of scidexctl; what can stand there says `scidexctl complete`, which knows verbs, options, runs.
# Nothing of it is evaluated (compgen -W would): an analysis id may be $(anything).

_scidexctl() {
        local line=${COMP_LINE:0:COMP_POINT} words current last word cut=0

        # Its own words: bash takes = and : for the end of one.
        read -r -a words <<<"$line"
        [[ $line == *[[:space:]] ]] && words+=("")
        current=${words[-1]}
        last=${current##*[=:]}
        [[ $COMP_WORDBREAKS == *[=:]* ]] && cut=$(( ${#current} - ${#last} ))
        words[-1]=${current//\\/}
        COMPREPLY=()
        while IFS=$'\t' read -r word _; do
                printf -v word %q "$word"
                COMPREPLY+=("${word:cut}")
        done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
        # --opt= is to be gone on with.
        [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return 0
}
complete -F _scidexctl scidexctl
