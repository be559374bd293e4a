"""
Plug-ins: modules that name objects, found by who uses them and imported by nobody.

Folders ``cloudd/plugins`` without an ``__init__.py`` anywhere on ``sys.path`` belong to this package as well: others
put theirs there.  Importing such a module is cheap and has no effects.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(each for each in pluginPackagePaths("cloudd.plugins") if each not in __path__)
__all__: list[str] = []
