"""`archforge completion`: a script that has a shell complete commands, options, specs and profiles."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["completion"]


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


# Each asks `archforge completion words`, which prints what fits the last of its arguments; where that is
# nothing, the shell completes files. Bash cuts words at `@`, `:` and `=`: they are taken whole from its line.
_BASH = """\
_archforge() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$' \\t\\n' words
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local last="${words[${#words[@]}-1]}" IFS=$'\\n'
    local cut="${last%"${last##*[@:=]}"}"
    COMPREPLY=($(archforge completion words "${words[@]:1}" 2> /dev/null))
    [[ -n $cut ]] && COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    [[ ${COMPREPLY[0]} == *[@.] ]] && compopt -o nospace
}
complete -o default -F _archforge archforge
"""
_ZSH = """\
#compdef archforge
_archforge() {
    local -a found
    found=("${(@f)$(archforge completion words "${(@)words[2,CURRENT]}" 2> /dev/null)}")
    if [[ -n $found ]]; then
        compadd -S '' -- $found
    else
        _files
    fi
}
compdef _archforge archforge
"""
_FISH = """\
function __archforge_words
    set -l found (archforge completion words (commandline -opc)[2..-1] (commandline -ct) 2> /dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c archforge -f -a '(__archforge_words)'
"""
_SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print a script that has a shell complete commands, options and their words, specs, profiles, and names
    of layers.

    In ~/.bashrc: source <(archforge completion bash). In ~/.zshrc, behind compinit: source <(archforge
    completion zsh). For fish: archforge completion fish > ~/.config/fish/completions/archforge.fish.
    """
    print(_SCRIPTS[shell].lstrip(), end="")
