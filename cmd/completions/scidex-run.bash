# bash completion of scidex-run: its options, as --help names them, then the command's own.

_scidex_run() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} option i

        # Behind the first word of the command everything is the command's.
        for (( i = 1; i < COMP_CWORD; i++ )); do
                case ${COMP_WORDS[i]} in
                        --) (( i++ )); break ;;
                        --quiet | --verbose | --private | --help | --version | =) ;;
                        --*) [[ ${COMP_WORDS[i+1]-} == = ]] && (( i++ )); (( i++ )) ;;
                        *) break ;;
                esac
        done
        COMPREPLY=()
        if (( i < COMP_CWORD )) && declare -F _command_offset >/dev/null; then
                _command_offset "$i"
        elif (( i < COMP_CWORD )); then
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
        elif [[ $previous == --report ]]; then
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
        elif [[ $previous == --require ]]; then
                COMPREPLY=(kernel)
        elif [[ $previous == --term-signal || $previous == --warn-signal ]]; then
                for option in TERM INT HUP QUIT USR1 USR2; do
                        [[ $option == "$current"* ]] && COMPREPLY+=("$option")
                done
        elif (( i > COMP_CWORD )); then
                : # a value that only its giver knows
        elif [[ $current == -* ]]; then
                while read -r option; do
                        [[ $option == "$current"* ]] && COMPREPLY+=("$option")
                done < <("${COMP_WORDS[0]}" --help 2>/dev/null | grep -o -e '^  --[a-z-]*' -e ', --[a-z-]*' | tr -d ' ,')
        else
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
        fi
}
complete -o filenames -F _scidex_run scidex-run
