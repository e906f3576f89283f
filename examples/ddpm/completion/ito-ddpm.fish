# Completion of Ito's programs for fish: the program says what may follow; where it says nothing, files may.
function __ito_ddpm_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l found ($before[1] complete $before[2..-1] "$word" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$word"
    end
end
complete -c ito-ddpm -c ito-classifier -c ito-toy -f -a '(__ito_ddpm_complete)'
