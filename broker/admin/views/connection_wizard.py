"""Adding a connection: choose, name, set up; only the last step stores anything."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin import connection_wizard as wizard
from broker.admin.connection_form import FormValues
from broker.admin.connection_reading import MAX_METADATA_BYTES, METADATA_FILE, Reading, read_provider
from broker.admin.views.gate import blueprint, desk
from broker.web.current import connectors, presets
from broker.web.onward import see_other


@blueprint.get("/admin/connections/new", endpoint="new_connection")
def start() -> ResponseReturnValue:
    """Show what can be connected, or, when that was chosen, ask for whom."""
    kit = wizard.Kit(connectors(), presets())
    if not request.args.get("kind"):
        return render_template("admin/connection_new.html", offers=wizard.list_offers(kit))
    asked = FormValues(request.args.to_dict(flat=False))
    return _name_page(kit, wizard.read_draft(desk(), kit, asked), FormValues({}), {})


@blueprint.post("/admin/connections/new", endpoint="add_connection")
def step() -> ResponseReturnValue:
    """Go one step on or back with everything that was entered; the last step stores the connection."""
    here, kit, form = desk(), wizard.Kit(connectors(), presets()), sent_form()
    draft = wizard.read_draft(here, kit, form)
    form = wizard.restore_form(here, kit, draft, form)
    if form.get("do") == "name":
        return _name_page(kit, draft, form, {})
    faults = wizard.draft_faults(here, draft)
    if faults:
        return _name_page(kit, draft, form, faults)
    if form.get("do") == "read":
        side, upload = kit.find_side(draft.preset, draft.kind), sent_metadata()
        reading = read_provider(here, kit.connectors[draft.kind], side, form, upload)
        return _setup_page(kit, draft, form, {}, reading)
    if form.get("do") != "save":
        return _setup_page(kit, draft, form, {})
    connection_id, errors = wizard.create_connection(here, kit, draft, form)
    if errors:
        return _setup_page(kit, draft, form, errors)
    done = here.ctx.request_id
    return see_other(
        url_for("admin.connection", tenant=here.tenant.slug, connection_id=connection_id, done=done)
    )


def sent_form() -> FormValues:
    """Return what this request's form holds."""
    return FormValues(request.form.to_dict(flat=False))


def _name_page(
    kit: wizard.Kit, draft: wizard.Draft, form: FormValues, errors: dict[str, str]
) -> ResponseReturnValue:
    context = wizard.name_context(desk(), kit, draft, form, errors)
    return render_template("admin/connection_name.html", **context), 400 if errors else 200


def sent_metadata() -> bytes:
    """Return the metadata file that came with this request's form, or nothing."""
    file = request.files.get(METADATA_FILE)
    return file.read(MAX_METADATA_BYTES + 1) if file else b""


def _setup_page(
    kit: wizard.Kit,
    draft: wizard.Draft,
    form: FormValues,
    errors: dict[str, str],
    reading: Reading | None = None,
) -> ResponseReturnValue:
    context = wizard.setup_context(desk(), kit, draft, form, errors, reading)
    is_wrong = bool(errors or (reading and reading.error))
    return render_template("admin/connection_setup.html", **context), 400 if is_wrong else 200
