// Small comforts; every page works without them: copy buttons and a question before a destructive form.
(function () {
  "use strict";

  function say(words) {
    const region = document.getElementById("announcer");
    if (region) region.textContent = words;
  }

  function wireCopyButtons() {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async function () {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.classList.add("copied");
        say("Copied");
        window.setTimeout(function () {
          button.classList.remove("copied");
          say("");
        }, 1600);
      });
    }
  }

  function buildDialog(form) {
    const dialog = document.createElement("dialog");
    const heading = document.createElement("h2");
    const text = document.createElement("p");
    const row = document.createElement("div");
    const back = document.createElement("button");
    const go = document.createElement("button");
    heading.textContent = form.dataset.confirm;
    heading.id = "confirm-heading";
    text.textContent = form.dataset.confirmText || "";
    text.className = "muted";
    dialog.setAttribute("aria-labelledby", heading.id);
    row.className = "button-pair";
    back.type = go.type = "button";
    back.className = "btn btn-quiet";
    back.textContent = "Cancel";
    go.className = "btn btn-danger";
    go.textContent = form.dataset.confirmVerb || "Continue";
    row.append(back, go);
    dialog.append(heading, text, row);
    back.addEventListener("click", function () { dialog.close(); });
    go.addEventListener("click", function () { dialog.close("yes"); });
    return dialog;
  }

  function wireConfirmations() {
    for (const form of document.querySelectorAll("form[data-confirm]")) {
      form.addEventListener("submit", function (event) {
        if (form.dataset.confirmed === "yes") return;
        event.preventDefault();
        const submitter = event.submitter;
        const dialog = buildDialog(form);
        dialog.addEventListener("close", function () {
          if (dialog.returnValue === "yes") {
            form.dataset.confirmed = "yes";
            form.requestSubmit(submitter);
          }
          dialog.remove();
        });
        document.body.append(dialog);
        dialog.showModal();
      });
    }
  }

  // An answer for an application goes on by itself; without scripts the person presses its button.
  function sendAnswer() {
    const form = document.querySelector("form[data-answer]");
    if (form) form.submit();
  }

  wireCopyButtons();
  wireConfirmations();
  sendAnswer();
})();
