"""People and administrators end a task, with everything in it, from the pages of its agent."""

from tests.builders.office import Office, submit
from tests.builders.site import Browser

PURPOSE = "Close the tickets of last week <b>now</b>"


def begin(office: Office) -> dict[str, str]:
    answer = office.scene.exchange(office.scene.person_token(), "a", task_purpose=PURPOSE)
    assert answer.status == 200, answer.json
    return answer.json


def end(office: Office, browser: Browser, area: str, task: str, name: str = "a") -> int:
    page = f"/t/acme/{area}/agents/{office.scene.agents[name].id}"
    return submit(browser, page, f"{page}/end-task", task_id=task).status_code


def test_a_person_sees_a_task_in_its_words_and_ends_it(office: Office) -> None:
    begun, browser = begin(office), office.person()
    page = browser.get(f"/t/acme/me/agents/{office.scene.agents['a'].id}").text
    assert "Tasks going on" in page
    assert "Close the tickets of last week &lt;b&gt;now&lt;/b&gt;" in page
    assert end(office, browser, "me", begun["txn"]) == 303
    assert office.scene.introspect(begun["access_token"]) == {"active": False}
    page = browser.get(f"/t/acme/me/agents/{office.scene.agents['a'].id}").text
    assert "Tasks going on" not in page
    assert "Task ended" in page


def test_a_person_ends_no_task_of_somebody_else(office: Office) -> None:
    begun = begin(office)
    office.scene.person_token("cli_b")
    # The page of another agent of theirs cannot end it, nor does a made-up id end anything.
    for task, name in ((begun["txn"], "b"), ("txn_made_up", "a")):
        assert end(office, office.person(), "me", task, name) == 303
    assert office.scene.introspect(begun["access_token"])["active"] is True


def test_an_administrator_ends_a_task(office: Office) -> None:
    begun, browser = begin(office), office.admin()
    assert "Tasks going on" in browser.get(f"/t/acme/admin/agents/{office.scene.agents['a'].id}").text
    assert end(office, browser, "admin", begun["txn"], "b") == 404
    assert office.scene.introspect(begun["access_token"])["active"] is True
    assert end(office, browser, "admin", begun["txn"]) == 303
    assert office.scene.introspect(begun["access_token"]) == {"active": False}
