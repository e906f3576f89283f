#compdef ito-ddpm ito-classifier ito-toy
# Completion of Ito's programs for zsh: the program says what may follow; where it says nothing, files may.
_ito-ddpm() {
    local line tab=$'\t'
    local -a described
    for line in ${(f)"$(${~words[1]} complete "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
        described+=("${${line%%$tab*}//:/\\:}:${line#*$tab}")
    done
    if (( $#described )); then
        _describe "${words[1]:t}" described
    else
        _files
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _ito-ddpm "$@"
else
    compdef _ito-ddpm ito-ddpm ito-classifier ito-toy
fi
