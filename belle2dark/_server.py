"""The Voila server of ``belle2dark app``: which pages exist, which kernels run and how many.

Use :func:`belle2dark.launch.serve`; this module is apart so that nothing else has to import Voila. The classes
extend Voila's because Voila offers no other hook for its routes and its kernel limit.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, StaticFileHandler, authenticated
from traitlets import Integer
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler

#: Extensions no page needs; jupytext's fails to load outside JupyterLab.
UNUSED_EXTENSIONS = ["jupyterlab-jupytext", "@voila-dashboards/jupyterlab-preview", "jupyterlab_pygments"]
#: Seconds that kernels have to end by themselves when the server stops.
POLITE = 15.0


class CappedKernelManager(AsyncMappingKernelManager):
    """Answers 503 instead of starting a kernel too many: Voila itself has no limit."""

    max_kernels = Integer(16, config=True, help="Kernels running at the same time, preheated ones included.")
    starting = Integer(0, help="Kernels asked for that are not up yet.")

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        if len(self) + self.starting >= self.max_kernels:
            raise HTTPError(503, f"all {self.max_kernels} kernels are in use")
        self.starting += 1
        try:
            kernel_id: str = await super().start_kernel(**kwargs)
        finally:
            self.starting -= 1
        return kernel_id

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        # A kernel that is just starting is not known yet: ending the server then would fail and leave it running.
        for _ in range(100):
            if not self.starting:
                break
            await asyncio.sleep(0.1)
        for _ in range(10):
            try:
                await asyncio.wait_for(super().shutdown_all(now), POLITE)
            except TimeoutError:  # one that does not answer: end the rest without asking
                now = True
            except HTTPError as gone:  # one ended by itself meanwhile: end the rest
                if gone.status_code != 404:
                    raise
            else:
                break


class CloseHandler(JupyterHandler):
    """Ends a page's kernel when the page is closed: 204, also if it has ended already."""

    def check_xsrf_cookie(self) -> None:
        """Nothing: a closing page sends no token (Voila's own handler answers 403), only the random id of its kernel."""

    @authenticated
    async def post(self, kernel_id: str) -> None:
        if kernel_id in self.kernel_manager:
            await self.kernel_manager.shutdown_kernel(kernel_id)
        self.set_status(204)


class DashboardServer(Voila):
    """Serves the notebooks of one folder and nothing else: the index at ``/``, a page at ``/<name>.ipynb``."""

    def init_handlers(self) -> list[Any]:
        import bokeh

        # Voila's own pages for folders, files and single notebooks give way to ours.
        replaced = re.compile(r"/voila/(tree|files|render|api/(contents|shutdown))")
        kept = [h for h in super().init_handlers() if h[0] != self.server_url and not replaced.search(h[0])]
        page = {"template_paths": self.template_paths, "config": self.config, "voila_configuration": self.voila_configuration}
        names = "|".join(re.escape(p.name) for p in sorted(Path(self.root_dir).glob("*.ipynb")))
        bokehjs = Path(bokeh.__file__).parent / "server" / "static" / "js"
        return [
            (url_path_join(self.server_url, r"/bokehjs/(bokeh[\w-]*\.min\.js)"), StaticFileHandler, {"path": str(bokehjs)}),
            (url_path_join(self.server_url, r"/voila/api/shutdown/([\w-]+)"), CloseHandler),
            *kept,
            (self.server_url, TornadoVoilaHandler, {**page, "notebook_path": "index.ipynb"}),
            (url_path_join(self.server_url, rf"/(?:voila/render/)?({names})"), TornadoVoilaHandler, page),
        ]


def server_config(
    notebooks: Path,
    *,
    port: int,
    ip: str,
    base_url: str,
    preheat: tuple[str, ...],
    max_kernels: int,
    idle_minutes: float,
    bokehjs: tuple[str, ...],
    transport: str,
) -> Config:
    """The configuration of :class:`DashboardServer`; preheats only the named notebooks."""
    # Tornado compares the server's milliseconds with its own seconds and warns about nothing
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    cold = [p for p in notebooks.rglob("*.ipynb") if p.stem not in preheat or p.parent != notebooks]
    config = Config()
    config.Voila.update(
        root_dir=str(notebooks), port=port, ip=ip, base_url=base_url, port_retries=0, open_browser=False, config_file_paths=[],
        log_level="ERROR", tornado_settings={"ws_ping_interval": 30000, "ws_ping_timeout": 90000},
    )  # fmt: skip
    config.VoilaConfiguration.update(
        template="belle2dark", theme="light", allow_template_override="NO", allow_theme_override="NO", strip_sources=True,
        file_allowlist=[], extension_denylist=UNUSED_EXTENSIONS, preheat_kernel=bool(preheat), default_pool_size=1,
        resources={"bokehjs": list(bokehjs)}, http_keep_alive_timeout=5,
        multi_kernel_manager_class="belle2dark._server.CappedKernelManager",
    )  # fmt: skip
    # A page that is closed without saying so leaves its kernel (140 MB) behind: end it when nobody is connected.
    seconds = max(1, round(60 * idle_minutes))
    config.MappingKernelManager.update(
        cull_idle_timeout=seconds, cull_interval=max(1, min(60, seconds // 2)), cull_connected=False
    )
    config.CappedKernelManager.max_kernels = max_kernels
    config.KernelManager.transport = transport
    if preheat:
        config.VoilaKernelManager.preheat_denylist = [re.escape(str(p)) + "$" for p in cold]
    return config
