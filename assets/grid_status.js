// Carries what Python has confirmed, or a bigger picture, to the grid: small elements of their own, so
// that a decision does not send the page's images again.

export default function ({ data }) {
  if (!data.look) document.saltflatStatus = data;
  document.dispatchEvent(new CustomEvent(data.look ? "saltflat-look" : "saltflat-status", { detail: data }));
}
