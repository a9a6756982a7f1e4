# fish completion of scidex-run: its options, as --help names them, then the command's own.

function __scidex_run_options
    # --memory SIZE    memory limit …: the option, a tab, what it is
    scidex-run --help 2>/dev/null | string replace -rf '^  (--[a-z-]+)(?: (?:[A-Z][A-Z.=]*|kernel))?  +(.*)$' '$1\t$2'
    printf '%s\n' --help --version
end

# The first word that is neither an option nor the value of one.
function __scidex_run_has_command
    set -l words (commandline -opc)[2..-1]
    while set -q words[1]
        switch $words[1]
            case -- --quiet --verbose --private --help --version '--*=*'
                test "$words[1]" = --; and return 0
                set -e words[1]
            case '--*'
                set -e words[1]
                set -q words[1]; and set -e words[1]
            case '*'
                return 0
        end
    end
    return 1
end

complete -c scidex-run -f -n 'not __scidex_run_has_command' -a '(__scidex_run_options)'
complete -c scidex-run -n 'not __scidex_run_has_command' -a '(__fish_complete_command)'
complete -c scidex-run -n __scidex_run_has_command -a '(__fish_complete_subcommand)'
