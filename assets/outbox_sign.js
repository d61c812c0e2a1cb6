// The sign in the sidebar that says what is not on disk yet, on every screen. It says nothing while all is.

export default function ({ data, parentElement, setStateValue }) {
  const box = outbox();
  box.signedIn = data.signed_in;
  const sign = parentElement.querySelector(".sign");
  const words = sign.querySelector(".words");
  const button = sign.querySelector("button");
  let told = 0;
  const draw = () => {
    const waiting = box.waiting.length;
    const old = waiting && Date.now() - box.waiting[0].at > 4000;
    let text = "";
    let act = null;
    if (waiting && (old || box.failures)) {
      text = `${count(waiting)} not saved yet. ${box.problem || "The server does not answer"}; trying again. They wait in this browser.`;
    } else if (waiting) text = `Saving ${count(waiting)}`;
    else if (box.parked.size) {
      text = `${count(box.parked.size)} not saved. ${[...box.parked.values()][0]}`;
      act = ["Discard", () => box.discardParked()];
    } else if (box.refusals.length) {
      text = box.refusals.at(-1);
      act = ["Close", () => box.dismiss()];
    }
    sign.hidden = !text;
    sign.dataset.state = act || old || box.failures ? "failed" : "saving";
    if (words.textContent !== text) words.textContent = text;
    button.hidden = !act;
    if (act) [button.textContent, button.onclick] = act;
    // Screens whose content depends on decisions are drawn again once these are on disk.
    if (data.tell && waiting !== told) {
      told = waiting;
      setStateValue("waiting", waiting);
    }
  };
  const stop = box.listen(draw);
  draw();
  return stop;
}

function count(number) {
  return `${number.toLocaleString("en-US")} ${number === 1 ? "decision" : "decisions"}`;
}

//#include outbox.js
