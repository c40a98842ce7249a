"""`saga_roles` creates the user groups with the permissions for sagas."""

from django.contrib.auth.models import Group, Permission

LOOK = ["view_sagaevent", "view_sagaexecution", "view_sagareference", "view_sagaworker", "view_steprun"]
SUPPORT = sorted([*LOOK, "hold_saga", "resolve_step", "retry_saga"])
SUPERVISOR = sorted(
    [
        *SUPPORT, "cancel_saga", "compensate_saga", "edit_context", "export_saga",
        "view_personal_data",
    ]
)  # fmt: skip
AUDITOR = sorted([*LOOK, "export_saga", "view_personal_data"])


def permissions_of(name):
    return sorted(Group.objects.get(name=name).permissions.values_list("codename", flat=True))


def test_three_groups_have_what_their_work_needs_and_nothing_of_django_q(command):
    said = command("saga_roles", "--json")

    assert said.code == 0
    assert said.document == {"Support": SUPPORT, "Supervisor": SUPERVISOR, "Auditor": AUDITOR}
    assert [permissions_of(name) for name in ("Support", "Supervisor", "Auditor")] == [SUPPORT, SUPERVISOR, AUDITOR]


def test_running_it_again_mends_a_group_and_takes_nothing_else_from_it(command):
    command("saga_roles")
    group = Group.objects.get(name="Support")
    group.permissions.remove(Permission.objects.get(codename="retry_saga"))
    group.permissions.add(Permission.objects.get(codename="view_user"))
    command("saga_roles")

    assert permissions_of("Support") == sorted([*SUPPORT, "view_user"])
