"""What Python and the libraries do with the code of generations: as with plain modules, each generation by itself."""

from __future__ import annotations

import asyncio
import contextlib
import copyreg
import gc
import importlib.resources
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementedBy, providedBy
from zope.interface.exceptions import DoesNotImplement
from zope.interface.verify import verifyObject

from reload import Generation, GenerationReleased

from .behaviour import KERNEL, BehaviourCase


class InterfaceTests(BehaviourCase):
    SOURCE = """
        from zope.interface import Interface, implementer, provider
        from shopx.kernel import IShop
        class IOwn(Interface):
            def ask():
                "Ask."
        @implementer(IShop, IOwn)
        class Shop:
            def total(self):
                return 5
            def ask(self):
                pass
        class IAdapted(Interface):
            pass
        def adapt(thing):
            return IOwn(thing, None)
    """

    def test_the_kernels_interface_is_one_for_all(self) -> None:
        """Objects of both generations provide it, and it knows them."""
        old, new = self.twice(self.SOURCE)
        shop_interface = sys.modules["shopx.kernel.facts"].IShop
        for thing in (old, new):
            shop = thing.Shop()
            verifyObject(shop_interface, shop)
            self.assertIs(shop_interface(shop), shop)
            self.assertTrue(shop_interface.implementedBy(thing.Shop))
        del old, new, thing, shop
        self.assertFreed()
        self.assertEqual(list(implementedBy(object)), [])

    def test_a_generations_interface_is_its_own(self) -> None:
        """An object of the other generation does not provide it, though it has the same name."""
        old, new = self.twice(self.SOURCE)
        self.assertTrue(old.IOwn.providedBy(old.Shop()))
        self.assertFalse(new.IOwn.providedBy(old.Shop()))
        self.assertIsNone(new.adapt(old.Shop()))
        self.assertRaises(DoesNotImplement, verifyObject, new.IOwn, old.Shop())
        self.assertNotEqual(old.IOwn, new.IOwn)
        self.assertEqual(len(list(providedBy(old.Shop()))), 2)


class ExceptionTests(BehaviourCase):
    SOURCE = """
        from shopx.kernel import Refused
        class SoldOut(Exception):
            pass
        class Dear(Refused):
            pass
        def refuse():
            raise Refused("kernel")
        def dear():
            raise Dear("too dear")
        def sold_out():
            raise SoldOut("tea")
        def attempt(call):
            try:
                call()
            except SoldOut:
                return "sold out"
            except Refused as error:
                return error.cause
        async def attempt_later(waited):
            try:
                await waited
            except SoldOut:
                return "sold out"
    """

    def test_the_kernels_errors_cross(self) -> None:
        """What one generation raises of the kernel's the other one catches, subclasses of its own too."""
        old, new = self.twice(self.SOURCE)
        self.assertEqual((new.attempt(old.refuse), old.attempt(new.refuse)), ("kernel", "kernel"))
        self.assertEqual(new.attempt(old.dear), "too dear")
        del old, new
        self.assertFreed()

    def test_a_generations_own_do_not(self) -> None:
        """``except`` of one generation does not catch the other one's class of that name."""
        old, new = self.twice(self.SOURCE)
        self.assertEqual(old.attempt(old.sold_out), "sold out")
        error = self.assertRaises(old.SoldOut, new.attempt, old.sold_out)
        self.assertEqual(str(error), "tea")

    def test_through_a_deferred(self) -> None:
        """Also where the error comes through a Deferred into a coroutine."""
        old, new = self.twice(self.SOURCE)
        waiting = Deferred.fromCoroutine(old.attempt_later(fail(old.SoldOut())))
        self.assertEqual(self.successResultOf(waiting), "sold out")
        self.failureResultOf(Deferred.fromCoroutine(new.attempt_later(fail(old.SoldOut()))), old.SoldOut)

    def test_an_error_that_is_kept_holds_its_generation(self) -> None:
        """Its traceback leads to frames; without the error the generation goes, ``raise from`` and groups too."""
        source = """
            def chain():
                try:
                    raise ValueError("first")
                except ValueError as error:
                    raise KeyError("second") from error
            def group():
                raise ExceptionGroup("both", [OSError(1), ValueError(2)])
        """
        thing = self.load(source)
        kept = []
        for call in (thing.chain, thing.group):
            with contextlib.suppress(ExceptionGroup, KeyError):
                call()
            try:
                call()
            except (ExceptionGroup, KeyError) as error:
                kept.append(error)
        del thing, call
        (generation,) = self.generations
        generation.release()
        gc.collect()
        self.assertNotEqual(generation.living(), 0)
        self.assertIn("traceback object -> frame of chain", " ".join(generation.holders()))
        kept.clear()
        self.assertFreed()


class ImportBehaviourTests(BehaviourCase):
    def test_a_main_guard_does_not_run(self) -> None:
        """``__name__`` is never ``__main__``, and ``__package__`` and ``__spec__`` fit it."""
        thing = self.load(
            "RAN = False\nif __name__ == '__main__':\n    RAN = True\nFACTS = __name__, __package__, __spec__.name"
        )
        prefix = self.generations[0].name
        self.assertEqual((thing.RAN, thing.FACTS[0]), (False, f"{prefix}.shopx.thing"))
        self.assertEqual(thing.FACTS[1:], (f"{prefix}.shopx", f"{prefix}.shopx.thing"))

    def test_a_module_that_raises_leaves_nothing_half(self) -> None:
        """Neither it nor the one that imported it stays; what was good before stays, and a second try works."""
        files = {
            "shopx/good.py": "",
            "shopx/half.py": "from shopx import good\nclass Half: pass\nimport sys\nif sys.modules['shopx.kernel'].bad:"
            "\n    raise RuntimeError('half')",
        }
        generation = self.generation({**KERNEL, **files, "shopx/thing.py": "import shopx.half"})
        kernel: Any = generation.load("shopx.kernel")
        kernel.bad = True
        self.assertRaises(RuntimeError, generation.load, "shopx.thing")
        self.assertEqual(set(generation.modules()), {"shopx", "shopx.good"})
        self.assertFalse(hasattr(generation.load("shopx"), "half"))
        kernel.bad = False
        self.assertEqual(generation.load("shopx.thing").shopx.half.Half.__module__, f"{generation.name}.shopx.half")

    def test_package_data(self) -> None:
        """``importlib.resources`` finds data by package and by name, binary too, in the generation's own copy."""
        source = """
            import importlib.resources
            from shopx import pages
            def read(name):
                return importlib.resources.files(pages).joinpath(name).read_bytes()
            def by_name():
                return importlib.resources.files(__package__).joinpath("pages/a.html").read_text()
            def names():
                return sorted(path.name for path in importlib.resources.files(pages).iterdir() if path.is_file())
        """
        data: dict[str, str | bytes] = {
            "shopx/pages/__init__.py": "",
            "shopx/pages/a.html": "<p>",
            "shopx/pages/b.bin": b"\0\xff",
        }
        old = self.load(source, data)
        new = self.load(source, {**data, "shopx/pages/a.html": "<b>"})
        self.assertEqual((old.read("a.html"), new.read("a.html"), new.by_name()), (b"<p>", b"<b>", "<b>"))
        self.assertEqual((new.read("b.bin"), new.names()), (b"\0\xff", ["__init__.py", "a.html", "b.bin"]))
        package = f"{self.generations[0].name}.shopx.pages"
        with importlib.resources.as_file(importlib.resources.files(package).joinpath("a.html")) as path:
            self.assertTrue(path.is_relative_to(self.generations[0].tree.root))
        del old, new
        self.assertFreed()

    def test_late_imports_after_three_upgrades(self) -> None:
        """Three generations are alive; each one's late import gives its own module, absolute or relative."""
        source = """
            def absolute():
                import shopx.late
                return shopx.late.NUMBER
            def relative():
                from . import late
                return late.NUMBER
            def named():
                from shopx.late import NUMBER as found
                return found
        """
        things = [self.load(source, {"shopx/late.py": f"NUMBER = {number}"}) for number in range(3)]
        for number in (2, 0, 1):
            thing = things[number]
            self.assertEqual((thing.absolute(), thing.relative(), thing.named()), (number,) * 3)
        del thing, things[1]
        self.generations[1].release()
        gc.collect()
        self.assertEqual(self.generations[1].living(), 0, self.generations[1].holders())
        self.assertEqual([thing.absolute() for thing in things], [0, 2])

    def test_a_late_import_after_the_release(self) -> None:
        """Code that outlived its generation gets a clear error, not another generation's module."""
        thing = self.load("def call():\n    import shopx.late", {"shopx/late.py": ""})
        self.load("")
        self.generations[0].release()
        self.assertIn("released", str(self.assertRaises(GenerationReleased, thing.call)))

    def test_a_module_with_getattr_and_all(self) -> None:
        """PEP 562 and star imports work."""
        files = {"shopx/lazy.py": "__all__ = ['NAME']\ndef __getattr__(name):\n    return name.lower()"}
        self.assertEqual(self.load("from shopx.lazy import NAME, OTHER", files).OTHER, "other")
        self.assertEqual(self.load("from shopx.lazy import *", files).NAME, "name")


class LibraryTests(BehaviourCase):
    """Things that keep references to code."""

    def assertGoes(self, source: str, use: Callable[[ModuleType], object] = lambda thing: None) -> None:
        """A generation with that code, used so, is freed."""
        use(self.load(source))
        self.assertFreed()

    def test_caches_and_registries(self) -> None:
        """``functools`` caches and dispatch, abstract classes, weak sets, regular expressions, contexts."""
        self.assertGoes(
            """
            import abc, collections.abc, contextlib, contextvars, functools, re, weakref
            class Sale: pass
            @functools.lru_cache
            def cached(kind): return kind
            @functools.singledispatch
            def show(thing): return "other"
            @show.register
            def _(thing: Sale): return "sale"
            @collections.abc.Sized.register
            class Counted:
                def __len__(self): return 0
            class Base(abc.ABC):
                @classmethod
                def __subclasshook__(cls, other): return NotImplemented
            ALL = weakref.WeakSet()
            PATTERN = re.compile("own pattern of this generation")
            CURRENT = contextvars.ContextVar("current", default=Sale)
            @contextlib.contextmanager
            def opened(): yield Sale
            def use():
                ALL.add(Sale())
                cached(Sale); show(Sale()); isinstance(Sale(), Base); isinstance(Counted(), collections.abc.Sized)
                CURRENT.set(Sale()); PATTERN.match("x")
                with opened(): pass
            """,
            lambda thing: __import__("contextvars").copy_context().run(thing.use),
        )

    def test_klein_automat_and_logger(self) -> None:
        """Routes, state machines and loggers of a generation go with it."""
        self.assertGoes(
            """
            from typing import Protocol
            from automat import TypeMachineBuilder
            from twisted.logger import Logger
            log = Logger()
            class Lamp(Protocol):
                def press(self) -> None: ...
            class Core: pass
            builder = TypeMachineBuilder(Lamp, Core)
            off, on = builder.state("off"), builder.state("on")
            off.upon(Lamp.press).to(on).returns(None)
            on.upon(Lamp.press).to(off).returns(None)
            factory = builder.build()
            def use():
                factory(Core()).press()
                log.debug("pressed")
            """,
            lambda thing: thing.use(),
        )

    def test_sqlalchemy(self) -> None:
        """The cache of compiled statements holds values of a generation until it is cleared, as documented."""
        from sqlalchemy import create_engine

        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        thing = self.load(
            """
            import sqlalchemy
            from sqlalchemy.types import TypeDecorator, Integer
            class Own(TypeDecorator):
                impl = Integer
                cache_ok = True
            table = sqlalchemy.Table("t", sqlalchemy.MetaData(), sqlalchemy.Column("a", Own))
            def use(engine):
                with engine.connect() as connection:
                    connection.execute(sqlalchemy.select(sqlalchemy.literal(1, Own))).all()
            """
        )
        thing.use(engine)
        del thing
        (generation,) = self.generations
        generation.release()
        gc.collect()
        self.assertNotEqual(generation.living(), 0)
        engine.clear_compiled_cache()
        self.assertFreed()

    def test_running_work(self) -> None:
        """A coroutine, a generator and an asynchronous generator that wait hold it; closed ones do not."""
        source = """
            async def wait(deferred):
                return await deferred
            def steps():
                yield 1
            async def feed():
                yield 1
        """
        thing = self.load(source)
        waited: Deferred[int] = Deferred()
        running = Deferred.fromCoroutine(thing.wait(waited))
        steps, feed = thing.steps(), thing.feed()
        next(steps)
        self.assertEqual(asyncio.run(feed.__anext__()), 1)
        del thing
        (generation,) = self.generations
        generation.release()
        gc.collect()
        self.assertNotEqual(generation.living(), 0)
        waited.callback(5)
        self.assertEqual(self.successResultOf(running), 5)
        steps.close()
        asyncio.run(feed.aclose())
        del steps, feed, running, waited
        self.assertFreed()


class GenerationCountTests(BehaviourCase):
    def test_fifty_in_a_row(self) -> None:
        """Nothing adds up in the tables of the interpreter over many generations."""
        files = {"shopx/part.py": "class Part: pass"}
        source = "import dataclasses, shopx.part\n@dataclasses.dataclass\nclass Thing:\n    a: int = 1\n"

        def one() -> Generation:
            generation = self.generation({**KERNEL, **files, "shopx/thing.py": source})
            generation.load("shopx.thing").Thing()
            generation.release()
            for _ in generation.free():
                pass
            self.assertEqual(generation.living(), 0, generation.holders())
            return generation

        one()
        before = len(sys.modules), len(copyreg.dispatch_table), len(sys.path_importer_cache), len(sys.meta_path)
        for _ in range(50):
            one()
        after = len(sys.modules), len(copyreg.dispatch_table), len(sys.path_importer_cache), len(sys.meta_path)
        self.assertEqual(after, before)
