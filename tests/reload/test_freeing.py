"""Generations are freed without a look at everything else, and in parts."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterable
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reload import Generation, QuietLoading
from reload._collecting import YOUNG_OBJECTS
from reload._freeing import PART, Components, Walk

from .trees import TreeCase

SHOP = {
    "shopx/shop.py": """
        import abc, attrs, contextlib, dataclasses, enum, functools, typing
        from zope.interface import Interface, implementer
        from shopx.kernel import Fact
        from shopx import goods
        class IShop(Interface):
            pass
        class Kind(enum.Enum):
            SMALL = 1
        class Wanted(typing.Protocol):
            def ask(self) -> int: ...
        class Base(abc.ABC):
            @abc.abstractmethod
            def total(self): ...
        @implementer(IShop)
        @attrs.define(weakref_slot=True)
        class Shop(Base):
            fact: typing.Any
            goods: list = attrs.Factory(list)
            me: typing.Any = None
            def total(self):
                return super().total()
        @dataclasses.dataclass(slots=True)
        class Line:
            kind: Kind = Kind.SMALL
        @functools.cache
        def cached(kind):
            return Line(kind)
        @contextlib.contextmanager
        def opened():
            yield Shop
        def build(fact):
            shop = Shop(fact)
            shop.me = shop
            shop.goods.append(lambda: shop)
            with opened():
                cached(Kind.SMALL)
            return shop
    """,
    "shopx/goods.py": "class Good: pass\nALL = [Good() for _ in range(10)]\nfor good in ALL: good.others = ALL",
}


class Knot:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.me = self


class FreeTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(gc.unfreeze)

    def load(self) -> tuple[Generation, Any]:
        generation = self.generation(SHOP)
        with QuietLoading():
            shop = generation.load("shopx.shop").build(self)
            generation.watch(shop)
        gc.freeze()  # as a loader does it before it forks
        return generation, shop

    def free(self, generation: Generation, *kept: object) -> int:
        """How many steps it took."""
        return sum(1 for _ in generation.free(kept))

    def test_what_is_frozen_is_freed(self) -> None:
        """A generation that a full collection does not free any more goes, with objects in cycles of their own."""
        generation, shop = self.load()
        seen = weakref.ref(shop)
        del shop
        generation.release()
        gc.collect()
        self.assertNotEqual(generation.living(), 0)
        self.assertIsNotNone(seen())
        self.free(generation, self)
        self.assertEqual((generation.living(), seen()), (0, None), generation.holders())

    def test_nothing_else_is_looked_at(self) -> None:
        """A frozen knot of somebody else stays as it is: neither scanned nor found."""
        knot = Knot()
        found = weakref.ref(knot)
        generation, shop = self.load()
        del knot, shop
        generation.release()
        self.free(generation, self)
        self.assertEqual(generation.living(), 0)
        self.assertIsNotNone(found())
        gc.unfreeze()
        gc.collect()
        self.assertIsNone(found())

    def test_what_is_held_stays_and_works(self) -> None:
        """Sorting out harms nobody: what is used goes on, and is freed when its holder lets go."""
        generation, shop = self.load()
        generation.release()
        self.free(generation, self)
        self.assertNotEqual(generation.living(), 0)
        self.assertIs(shop.goods[0](), shop)
        self.assertIs(shop.fact, self)
        del shop
        self.free(generation, self)
        self.assertEqual(generation.living(), 0, generation.holders())

    def test_the_next_attempt_is_in_steps_too(self) -> None:
        """What the first attempt could not free is not freed in one go by what begins the next."""
        generation, shop = self.load()
        generation.release()
        self.free(generation, self)
        left = generation.living()
        del shop
        steps = generation.free([self])
        next(steps)
        self.assertEqual(generation.living(), left)
        for _ in steps:
            pass
        self.assertEqual(generation.living(), 0, generation.holders())

    def test_old_garbage_that_holds_it(self) -> None:
        """A knot that got old while it held the generation goes first, by a full collection; then all in steps."""
        generation, shop = self.load()
        gc.unfreeze()
        knot = Knot()
        knot.shop = shop  # type: ignore[attr-defined]
        gc.collect()
        del knot, shop
        generation.release()
        left = generation.living()
        self.free(generation, self)
        self.assertEqual(generation.living(), left)
        steps = generation.free([self], thorough=True)
        next(steps)
        self.assertEqual(generation.living(), left)
        for _ in steps:
            pass
        self.assertEqual(generation.living(), 0, generation.holders())

    def test_three_at_once(self) -> None:
        """Each is freed by itself, in any order, and the others are not touched."""
        loaded = {number: self.load() for number in range(3)}
        for number in (1, 0, 2):
            generation, shop = loaded.pop(number)
            del shop
            generation.release()
            self.free(generation, self)
            self.assertEqual(generation.living(), 0, generation.holders())
            for other, its_shop in loaded.values():
                self.assertIs(its_shop.goods[0](), its_shop)
                self.assertTrue(other.load("shopx.shop").IShop.providedBy(its_shop))
            its_shop = None

    def test_the_walk_turns_back(self) -> None:
        """Modules, classes that a module has by name, and what is kept are not gone through."""
        generation, shop = self.load()
        found = {id(thing) for thing in components_of([shop], generation.name, [self]).found}
        others = [self, sys, threading.Thread, Knot, vars(sys)]
        self.assertIn(id(shop), found)
        self.assertFalse(found & {id(thing) for thing in others})
        generation.release()

    def test_the_walk_turns_back_at_other_generations(self) -> None:
        """Objects and functions of others, however it comes to them, live as long as those do."""
        own, shop = self.load()
        other, its_shop = self.load()
        shop.fact = [its_shop, vars(other.load("shopx.shop"))["build"]]
        found = {id(thing) for thing in components_of([shop], own.name, [self], [other.name]).found}
        self.assertIn(id(shop.fact), found)
        self.assertFalse(found & {id(its_shop), id(shop.fact[1]), id(its_shop.goods)})
        for generation in (own, other):
            generation.release()

    def test_the_walk_turns_back_at_what_the_kernel_has(self) -> None:
        """What a kernel module has by name is not gone through, nor taken out of where it is."""
        generation = self.generation(
            {"shopx/shop.py": "from shopx.kernel import TABLES\ndef build():\n    return TABLES\n"}
        )
        kernel: Any = generation.load("shopx.kernel")
        tables: list[list[Any]] = [[], [[]]]
        tables[0].append(tables)
        kernel.TABLES = tables
        self.addCleanup(delattr, kernel, "TABLES")
        generation.load("shopx.shop")
        gc.collect()
        generation.release()
        seen: list[int] = []

        def look(phase: str, info: dict[str, int]) -> None:
            if phase == "start" and info["generation"] == 0:
                seen.extend(id(thing) for thing in gc.get_objects(0))

        gc.callbacks.append(look)
        self.addCleanup(gc.callbacks.remove, look)
        self.free(generation)
        self.assertEqual(generation.living(), 0, generation.holders())
        self.assertFalse({id(tables), id(tables[0]), id(tables[1])} & set(seen))

    def test_no_collection_goes_through_the_notes(self) -> None:
        """What the search notes of each object is as large as all that is freed."""
        generation, shop = self.load()
        search = components_of([shop], generation.name, [self])
        self.assertGreater(len(search.found), 20)
        notes = [search.found, search.sizes, search._open, search._bounds, search._places, search.walk._seen]
        self.assertEqual([gc.is_tracked(note) for note in notes], [False] * len(notes))
        generation.release()

    def test_what_gets_garbage_meanwhile_goes_little_by_little(self) -> None:
        """Requests are served between the steps of a search that takes seconds."""
        generation, shop = self.load()
        del shop
        generation.release()
        most, steps = 0, 0
        with mock.patch("reload._freeing.SLICE_S", 0.0):
            for _ in generation.free([self]):
                steps += 1
                most = max(most, gc.get_count()[0])
                for _number in range(100):
                    Knot()
        self.assertGreater(steps, 100)
        self.assertLess(most, 2 * YOUNG_OBJECTS)

    def test_in_parts(self) -> None:
        """No collection looks at more than a part, whatever there is to be freed; circles stay together."""
        links = """
            class Link:
                def __init__(self, before):
                    self.me, self.before = self, before
        """
        chain = f"""
            from shopx.links import Link
            ALL = []
            for _ in range({4 * PART}):
                ALL.append(Link(ALL[-1:]))
            def chain():
                return ALL
        """
        generation = self.generation({"shopx/chain.py": chain, "shopx/links.py": links})
        generation.load("shopx.chain")
        gc.collect()
        sizes: list[int] = []

        def look(phase: str, info: dict[str, int]) -> None:
            if phase == "start":
                sizes.append(len(gc.get_objects(0)))

        generation.release()
        gc.callbacks.append(look)
        self.addCleanup(gc.callbacks.remove, look)
        self.free(generation)
        self.assertEqual(generation.living(), 0, generation.holders())
        self.assertGreater(len(sizes), 4)
        self.assertLess(max(sizes), 2 * PART)

    def test_a_kept_thing_that_leads_back(self) -> None:
        """What outlives the generation and holds it is told by ``living``, not freed with it."""
        generation, shop = self.load()
        self.leak = shop
        del shop
        generation.release()
        self.free(generation, self)
        self.assertNotEqual(generation.living(), 0)
        self.assertIn("FreeTests", " ".join(generation.holders()))
        del self.leak
        self.free(generation, self)
        self.assertEqual(generation.living(), 0, generation.holders())

    def test_a_load_that_failed(self) -> None:
        """Whatever was loaded before the error goes; the error itself must be gone."""
        generation = self.generation({**SHOP, "shopx/bad.py": "import shopx.shop\nraise ValueError"})

        def fail() -> None:
            with QuietLoading():
                generation.load("shopx.bad")

        self.assertRaises(ValueError, fail)
        self.flushLoggedErrors()
        gc.collect()  # the error may be in a circle with a frame of this test's
        generation.release()
        self.free(generation, self)
        self.assertEqual(generation.living(), 0, generation.holders())

    def test_freed_already(self) -> None:
        """There is next to nothing to do for a generation of which nothing is left, or nothing was loaded."""
        generation = self.generation({})
        generation.release()
        self.assertLessEqual(self.free(generation), 5)
        self.assertEqual(generation.living(), 0)


class ComponentTests(SynchronousTestCase):
    """Against a search that is slow and plain."""

    @given(st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), edges(size))))
    def test_any_graph(self, graph: tuple[int, list[tuple[int, int]]]) -> None:
        size, pairs = graph
        nodes: list[Any] = [[] for _ in range(size)]
        for begin, end in pairs:
            nodes[begin].append(nodes[end])
        number = {id(node): place for place, node in enumerate(nodes)}
        search = components_of(nodes, "nobody", [])
        found = iter([number[id(thing)] for thing in search.found if id(thing) in number])
        components = [{next(found) for _ in range(count)} for count in search.sizes]
        reached = [reachable(size, pairs, node) for node in range(size)]
        for component in components:
            one = min(component)
            self.assertEqual(component, {other for other in reached[one] if one in reached[other]})
        for place, component in enumerate(components):
            behind = set().union(*components[place + 1 :])
            self.assertFalse(behind & set().union(*(reached[node] for node in component)))
        for node in nodes:
            node.clear()


def edges(size: int) -> Any:
    node = st.integers(0, size - 1)
    return st.lists(st.tuples(node, node), max_size=3 * size)


def reachable(size: int, pairs: list[tuple[int, int]], begin: int) -> set[int]:
    found = {begin}
    for _ in range(size):
        found |= {end for start, end in pairs if start in found}
    return found


def components_of(roots: Iterable[Any], prefix: str, kept: Iterable[Any], others: Iterable[str] = ()) -> Components:
    search = Components(Walk(prefix, kept, others), list(roots))
    for _ in search.steps():
        pass
    return search
