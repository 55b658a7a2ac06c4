"""The eight published ways to wrap a signature (XSW 1 to 8), each as a change of a signed response."""

from copy import deepcopy

from lxml import etree

from tests.builders.saml_idp import DS, NS, SAMLP, find


def evil_copy(element: etree._Element, *, new_id: bool = True) -> etree._Element:
    """A copy that speaks for the victim, without a signature of its own."""
    evil = deepcopy(element)
    for signature in evil.xpath(".//ds:Signature", namespaces=NS):
        signature.getparent().remove(signature)
    for name in evil.xpath(".//saml:NameID", namespaces=NS):
        name.text = "victim"
    if new_id:
        for node in evil.iter():
            if node.get("ID"):
                node.set("ID", node.get("ID") + "_evil")
    return evil


def own_signature(element: etree._Element) -> etree._Element:
    return find(element, "./ds:Signature")


def become(root: etree._Element, other: etree._Element) -> None:
    """Turn `root` into `other` in place, as a message on the wire would be exchanged."""
    for child in list(root):
        root.remove(child)
    root.attrib.clear()
    root.attrib.update(other.attrib)
    root.text = other.text
    root.extend(list(other))


def xsw1(root: etree._Element) -> None:
    """An evil response whose signature holds the original response."""
    original, evil = deepcopy(root), evil_copy(root)
    signature = deepcopy(root.xpath("//ds:Signature", namespaces=NS)[0])
    signature.append(original)
    evil.insert(1, signature)
    become(root, evil)


def xsw2(root: etree._Element) -> None:
    """The original response detached, before the signature that names it."""
    original, evil = evil_copy(root, new_id=False), evil_copy(root)
    signature = deepcopy(root.xpath("//ds:Signature", namespaces=NS)[0])
    for name in original.xpath(".//saml:NameID", namespaces=NS):
        name.text = "u-1"
    evil.insert(1, original)
    evil.insert(2, signature)
    become(root, evil)


def xsw3(root: etree._Element) -> None:
    """An evil assertion before the original one."""
    assertion = find(root, "./saml:Assertion")
    root.insert(root.index(assertion), evil_copy(assertion))


def xsw4(root: etree._Element) -> None:
    """The original assertion inside the evil one."""
    assertion = find(root, "./saml:Assertion")
    evil = evil_copy(assertion)
    root.replace(assertion, evil)
    evil.append(assertion)


def xsw5(root: etree._Element) -> None:
    """The evil assertion keeps the signature; the original, bare, stands at the end."""
    assertion = find(root, "./saml:Assertion")
    original = evil_copy(assertion, new_id=False)
    find(original, ".//saml:NameID").text = "u-1"
    find(assertion, ".//saml:NameID").text = "victim"
    assertion.set("ID", assertion.get("ID", "") + "_evil")
    root.append(original)


def xsw6(root: etree._Element) -> None:
    """The original assertion inside the signature of the evil one."""
    assertion = find(root, "./saml:Assertion")
    original = evil_copy(assertion, new_id=False)
    find(original, ".//saml:NameID").text = "u-1"
    find(assertion, ".//saml:NameID").text = "victim"
    assertion.set("ID", assertion.get("ID", "") + "_evil")
    root.xpath("//ds:Signature", namespaces=NS)[-1].append(original)


def xsw7(root: etree._Element) -> None:
    """An evil assertion inside Extensions."""
    assertion = find(root, "./saml:Assertion")
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(evil_copy(assertion, new_id=False))
    root.insert(1, extensions)


def xsw8(root: etree._Element) -> None:
    """The original assertion inside an Object of the signature."""
    assertion = find(root, "./saml:Assertion")
    original = evil_copy(assertion, new_id=False)
    find(original, ".//saml:NameID").text = "u-1"
    find(assertion, ".//saml:NameID").text = "victim"
    assertion.set("ID", assertion.get("ID", "") + "_evil")
    holder = etree.SubElement(root.xpath("//ds:Signature", namespaces=NS)[-1], f"{{{DS}}}Object")
    holder.append(original)
