"""XML that is written as S3 writes it, and XML that is refused."""

from __future__ import annotations

from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.s3._errors import S3Error
from cloudd.protocols.s3._xml import document, element, error_document, escape, parse, texts


class Writing(SynchronousTestCase):
    def test_names_come_back_as_they_were(self) -> None:
        name = "a&b<c>\"d' ü+%20 \N{GRINNING FACE}"
        read = ElementTree.fromstring(document("List", texts([("Key", name)])))
        self.assertEqual(read[0].text, name)
        self.assertEqual(read.tag, "{http://s3.amazonaws.com/doc/2006-03-01/}List")

    def test_line_ends_survive_a_parser(self) -> None:
        read = ElementTree.fromstring(document("List", texts([("Key", "a\r\nb\tc\n")])))
        self.assertEqual(read[0].text, "a\r\nb\tc\n")

    def test_what_xml_cannot_carry_is_written_as_s3_does(self) -> None:
        self.assertEqual(escape("a\x01b\x1f\uffff"), "a&#x1;b&#x1F;&#xFFFF;")

    def test_empty_elements_and_left_out_ones(self) -> None:
        self.assertEqual(texts([("A", ""), ("B", None), ("C", 0)]), "<A/><C>0</C>")
        self.assertEqual(element("D", "<E/>"), "<D><E/></D>")

    def test_an_error_has_all_its_facts_and_no_namespace(self) -> None:
        error = S3Error("NoSuchKey", Key="a<b")
        read = ElementTree.fromstring(error_document(error, "/b/a<b", "req-1", "host"))
        self.assertEqual(
            [(each.tag, each.text) for each in read],
            [
                ("Code", "NoSuchKey"),
                ("Message", "The specified key does not exist."),
                ("Key", "a<b"),
                ("Resource", "/b/a<b"),
                ("RequestId", "req-1"),
                ("HostId", "host"),
            ],
        )


class Reading(SynchronousTestCase):
    def refused(self, body: bytes) -> None:
        error: S3Error = self.assertRaises(S3Error, parse, body, "Delete")
        self.assertEqual(error.code, "MalformedXML")

    def test_with_and_without_the_namespace(self) -> None:
        for attribute in (b"", b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'):
            root = parse(b"<Delete%s><Object><Key> a </Key></Object><Object/></Delete>" % attribute, "Delete")
            keys = [each.value("Key") for each in root.children("Object")]
            self.assertEqual(keys, [" a ", None])
            self.assertIsNone(root.child("Quiet"))

    def test_what_is_no_document(self) -> None:
        for body in (
            b"",
            b"<Delete>",
            b"{}",
            b"\xff\xfe",
            b"<Other/>",
            b"<Delete/><Delete/>",
            b"<Delete>\xff</Delete>",
        ):
            self.refused(body)

    def test_unknown_encodings(self) -> None:
        self.refused(b'<?xml version="1.0" encoding="nonsense"?><Delete/>')

    def test_entity_bombs(self) -> None:
        self.refused(
            b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Delete>&b;</Delete>'
        )
        self.refused(b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>')
        self.refused(b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete>&a;</Delete>')
