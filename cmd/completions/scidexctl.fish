# fish completion of scidexctl; what can stand there says `scidexctl complete`, which knows verbs, options, runs.

function __scidexctl_candidates
    set -l words (commandline -opc)
    $words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end

complete -c scidexctl -f -a '(__scidexctl_candidates)'
