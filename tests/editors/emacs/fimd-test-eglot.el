;;; fimd-test-eglot.el --- Beside other language servers, and as one  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Eglot with clangd or pyright in a buffer of `fimd-mode': both answer.  Eglot with fimd: one daemon for both,
;; and its text in the completion menu and in `completion-preview-mode'.

;;; Code:

(require 'fimd-test-server)
(require 'completion-preview)

(defun fimd-test-names (server)
  "The names that SERVER finds in the buffer, waited for."
  (mapcar (lambda (symbol) (plist-get symbol :name))
          (eglot--request server :textDocument/documentSymbol
                          (list :textDocument (eglot--TextDocumentIdentifier))
                          :timeout fimd-test-limit)))

(ert-deftest fimd-40-beside-clangd ()
  (skip-unless (executable-find "clangd"))
  (fimd-test-with "e/clangd.c" fimd-test-c
    (let ((eglot-server-programs '((c-mode . ("clangd"))))
          (mark (length (fimd-test-messages))))
      (let ((server (fimd-test-eglot)))
        (unwind-protect
            (progn
              (fimd-test-type " ")
              (fimd-test-settle)
              (should (fimd-test-ghost))
              (should (eq (fimd-document-connection fimd-document) fimd-daemon-connection))
              (should-not (eq server fimd-daemon-connection))
              ;; clangd answers with the ghost showing; it never sees it.
              (should (equal (fimd-test-names server) '("ring" "ring_init")))
              (fimd-test-keys "TAB")
              (should-not (fimd-test-ghost))
              (fimd-test-keys "RET")
              (fimd-test-type "  r->capac")
              (fimd-test-settle)
              ;; clangd's own completion, at the same place.
              (fimd--drop)
              (completion-at-point)
              (should (looking-back "r->capacity" (pos-bol)))
              (should (jsonrpc-running-p server))
              (fimd-test-type " = 1;\n")
              (fimd-test-settle)
              (should (jsonrpc-running-p fimd-daemon-connection))
              (should-not (string-match-p "[Ee]rror" (substring (fimd-test-messages) mark))))
          (eglot-shutdown server))))))

(ert-deftest fimd-41-eglot-with-fimd ()
  (fimd-test-with-fimd-as-server "e/fimd.c" (concat "/* é😀 */ " fimd-test-c)
    (should (object-of-class-p server 'fimd-eglot-server))
    (fimd-mode 1)
    (fimd-test-type " ")
    (fimd-test-settle)
    ;; While the model is loaded the answer waits.
    (let ((ghost (fimd-test-until "a ghost" (fimd-test-ghost)))
          (before (buffer-substring-no-properties (point-min) (point))))
      (should-not fimd-daemon-connection)
      (should-not fimd-document)
      (should (equal (substring-no-properties (fimd--lighter)) " fimd"))
      (fimd-test-type (substring ghost 0 3))
      (should (equal (fimd-test-ghost) (substring ghost 3)))
      (fimd-test-keys "TAB")
      (should (equal (buffer-substring-no-properties (point-min) (point)) (concat before ghost)))
      (should (eq t (plist-get (plist-get (fimd-test-ask :fimd/status nil) :settings)
                               :streaming))))
    ;; Without eglot our own daemon takes over.
    (eglot-shutdown server)
    (fimd-test-until "our own daemon" (and fimd-document (eq fimd-daemon-state 'ready)))
    (fimd-test-type "\n")
    (fimd-test-settle)))

(ert-deftest fimd-42-completion-at-point ()
  (fimd-test-with-fimd-as-server "e/capf.c" (string-replace "|" " ret|" fimd-test-c)
    (let ((before (buffer-substring-no-properties (point-min) (point))))
      (fimd-test-until "a completion"
        (progn (completion-at-point)
               (> (length (buffer-substring-no-properties (point-min) (point)))
                  (length before))))
      (should (string-prefix-p (concat before "urn")
                               (buffer-substring-no-properties (point-min) (point)))))))

(ert-deftest fimd-43-completion-preview ()
  (fimd-test-with-fimd-as-server "e/preview.c" fimd-test-c
    (completion-preview-mode 1)
    (fimd-test-type " re")
    ;; Until the model is there a key may go unanswered; the next one is not.
    (fimd-test-until "a preview"
      (progn (fimd-test-type "t")
             (or completion-preview-active-mode
                 (progn (fimd-test-keys "DEL") nil))))
    (should (string-prefix-p "urn" (overlay-get completion-preview--overlay 'after-string)))
    ;; `fimd-mode' steps back while the preview has the keys.
    (fimd-mode 1)
    (let ((before (buffer-substring-no-properties (point-min) (point))))
      (should (fimd--inhibited-p))
      (should-not (fimd-test-ghost))
      (fimd-test-keys "DEL")
      ;; In one run of the command loop, whose start would end the preview.
      (fimd-test-keys "t TAB")
      (should (string-prefix-p (concat before "urn")
                               (buffer-substring-no-properties (point-min) (point)))))))

(ert-deftest fimd-44-eglot-comes-later ()
  "A buffer of our own daemon moves to that of eglot, and is closed on ours."
  (fimd-test-with "e/later.c" fimd-test-c
    (fimd-test-until "our document" fimd-document)
    (let ((eglot-server-programs nil)
          (own fimd-daemon-connection))
      (fimd-eglot-register 'c-mode)
      (let ((server (fimd-test-eglot)))
        (unwind-protect
            (progn
              (fimd-test-type " ")
              (fimd-test-settle)
              (should-not fimd-document)
              (should (= 0 (plist-get (jsonrpc-request own :fimd/status nil) :documents)))
              (should (= 1 (plist-get (fimd-test-ask :fimd/status nil) :documents)))
              (should (eq server (car (fimd--connection)))))
          (eglot-shutdown server))))))

(ert-deftest fimd-45-daemon-sees-what-is-taken ()
  "Though eglot sends changes when idle."
  (fimd-test-with-fimd-as-server "e/taken.c" fimd-test-c
    (let ((eglot-send-changes-idle-time 100))
      (fimd-mode 1)
      (fimd-test-taking))))

(defconst fimd-test-shop
  "class Item:
    def __init__(self, name: str, price: int):
        self.name = name
        self.price = price


def total(items: list[Item]) -> int:
    return sum(item.price for item in items)


def cheapest(items: list[Item]) -> Item:|
"
  "Python, with a type that only a server can tell.")

(ert-deftest fimd-46-beside-pyright ()
  (unless (executable-find "pyright-langserver")
    (ert-skip "pyright is not there; see tests/editors/install.sh"))
  (let ((fimd-in-menu t)
        (mark (length (fimd-test-messages))))
    (fimd-test-with "e/shop.py" fimd-test-shop
      (let* ((eglot-server-programs '((python-mode . ("pyright-langserver" "--stdio"))))
             (server (fimd-test-eglot)))
        (unwind-protect
            (progn
              (fimd-test-keys "RET")
              (fimd-test-settle)
              (let ((ghost (fimd-test-ghost))
                    (before (buffer-substring-no-properties (point-min) (point))))
                (should ghost)
                (should (eq (fimd-document-connection fimd-document) fimd-daemon-connection))
                (should-not (eq server fimd-daemon-connection))
                ;; pyright answers while the ghost text shows, and never sees it.
                (should (equal (fimd-test-names server) '("Item" "total" "cheapest")))
                (should (equal ghost (fimd-test-ghost)))
                (fimd-test-keys "TAB")
                (should (equal (buffer-substring-no-properties (point-min) (point))
                               (concat before ghost))))
              ;; Both in one menu: pyright knows the type.
              (fimd-test-keys "RET")
              (delete-region (pos-bol) (point))
              (fimd-test-type "    items[0].pri")
              (fimd--drop)
              (should (fimd-test-until "pyright's word"
                        (member "price" (mapcar #'substring-no-properties (fimd-test-offer)))))
              (should (jsonrpc-running-p server))
              (should (jsonrpc-running-p fimd-daemon-connection))
              (should-not (string-match-p "[Ee]rror" (substring (fimd-test-messages) mark))))
          (eglot-shutdown server))))))

(provide 'fimd-test-eglot)
;;; fimd-test-eglot.el ends here
