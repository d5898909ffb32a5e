;;; fimd-document.el --- What the daemon knows of a buffer  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Opens a buffer as a document of our own daemon and keeps it up with its edits, whatever makes
;; them: commands, undo, other programs, in a narrowed buffer or not.  track-changes.el says what
;; changed; its regions become LSP's, counted as the daemon negotiated.

;;; Code:

(require 'cl-lib)
(require 'project)
(require 'track-changes)
(require 'fimd-daemon)

(defcustom fimd-language-ids
  '((c++-mode . "cpp") (c++-ts-mode . "cpp")
    (js-mode . "javascript") (js2-mode . "javascript") (js-ts-mode . "javascript")
    (tsx-ts-mode . "typescriptreact") (typescript-tsx-mode . "typescriptreact")
    (sh-mode . "shellscript") (bash-ts-mode . "shellscript")
    (mhtml-mode . "html") (js-json-mode . "json") (emacs-lisp-mode . "elisp"))
  "LSP language ids of major modes whose name does not tell it."
  :type '(alist :key-type symbol :value-type string)
  :group 'fimd)

(defconst fimd-document--most (* 16 1024 1024)
  "Buffers with more characters than this are not sent.")

(cl-defstruct (fimd-document (:constructor fimd-document--new) (:copier nil))
  connection uri file tracker (version 0))

(defvar-local fimd-document nil "The buffer as our daemon has it, or nil.")

;;;; Text and positions

(defun fimd-document--text (beg end)
  "The text from BEG to END as it can be sent.
What JSON cannot hold, and the carriage return, which would be a line's end to
the daemon but not to Emacs, are replaced by as many characters."
  (let ((text (buffer-substring-no-properties beg end)))
    (unless (multibyte-string-p text)
      (setq text (string-to-multibyte text)))
    (if (not (string-match-p "[\r\xd800-\xdfff\x110000-\x3fff7f\x3fff80-\x3fffff]" text))
        text
      (setq text (string-replace "\r" " " text))
      (replace-regexp-in-string "[\xd800-\xdfff\x110000-\x3fff7f\x3fff80-\x3fffff]" "\ufffd"
                                text t t))))

(defun fimd-document--units (text encoding)
  "The length of TEXT, which is on one line, in units of ENCODING."
  (pcase encoding
    ("utf-32" (length text))
    ("utf-8" (string-bytes text))
    (_ (+ (length text) (cl-count-if (lambda (char) (<= #x10000 char #x10ffff)) text)))))

(defun fimd-document-position (pos encoding)
  "POS as an LSP position in ENCODING."
  (save-restriction
    (widen)
    (save-excursion
      (goto-char pos)
      (list :line (1- (line-number-at-pos pos t))
            :character (fimd-document--units (fimd-document--text (pos-bol) pos) encoding)))))

(defun fimd-document-point (position encoding)
  "The buffer position that is the LSP POSITION in ENCODING."
  (save-restriction
    (widen)
    (save-excursion
      (goto-char (point-min))
      (forward-line (plist-get position :line))
      (let ((left (plist-get position :character)))
        (if (equal encoding "utf-32")
            (forward-char (min left (- (pos-eol) (point))))
          (while (and (> left 0) (not (eolp)))
            (cl-decf left (fimd-document--units (fimd-document--text (point) (1+ (point)))
                                                encoding))
            (forward-char 1))))
      (point))))

(defun fimd-document--end-of (start before encoding)
  "Where the text BEFORE ended that was at the LSP position START, in ENCODING."
  (let* ((lines (split-string before "\n"))
         (units (fimd-document--units (car (last lines)) encoding)))
    (if (cdr lines)
        (list :line (+ (plist-get start :line) (length (cdr lines))) :character units)
      (list :line (plist-get start :line)
            :character (+ (plist-get start :character) units)))))

(defun fimd-document-encoding (capabilities)
  "The position encoding that CAPABILITIES name; LSP's default is utf-16."
  (or (plist-get capabilities :positionEncoding) "utf-16"))

(defun fimd-document--language ()
  "The LSP language id of the buffer."
  (or (alist-get major-mode fimd-language-ids)
      (get major-mode 'eglot-language-id)
      (replace-regexp-in-string "\\(?:-ts\\)?-mode\\'" "" (symbol-name major-mode))))

;;;; Opening, changing, closing

(defun fimd-document--uri ()
  "The URI of the buffer; what is not a local file is told by its name."
  (if (and buffer-file-name (not (file-remote-p buffer-file-name)))
      (fimd-daemon-file-uri buffer-file-name)
    (concat "untitled:" (url-hexify-string (or buffer-file-name (buffer-name))))))

(defun fimd-document-root ()
  "The root of the local project the buffer's file is in, or nil."
  (unless (or (not buffer-file-name) (file-remote-p default-directory))
    (when-let* ((project (project-current)))
      (expand-file-name (project-root project)))))

(defun fimd-document-identifier ()
  "The document as a TextDocumentIdentifier."
  (list :uri (fimd-document-uri fimd-document)))

(defun fimd-document--versioned ()
  "The document with its next version."
  (list :uri (fimd-document-uri fimd-document)
        :version (cl-incf (fimd-document-version fimd-document))))

(defun fimd-document--open (conn)
  "Open the buffer on CONN."
  (unless (> (buffer-size) fimd-document--most)
    (fimd-daemon-add-root conn (fimd-document-root))
    (let ((uri (fimd-document--uri)))
      (setq fimd-document
            (fimd-document--new
             :connection conn :uri uri :file buffer-file-name
             :tracker (track-changes-register #'fimd-document--changed)))
      (fimd-daemon-notify
       conn :textDocument/didOpen
       (list :textDocument
             (list :uri uri :languageId (fimd-document--language) :version 0
                   :text (save-restriction (widen)
                                           (fimd-document--text (point-min) (point-max)))))))))

(defun fimd-document--changed (_tracker)
  "Send what has changed; called soon after a change."
  (if (track-changes-inconsistent-state-p)
      ;; For instance in the middle of an input method: not now.
      (run-with-timer 0.1 nil (lambda (buffer)
                                (when (buffer-live-p buffer)
                                  (with-current-buffer buffer (fimd-document-sync))))
                      (current-buffer))
    (fimd-document-sync)))

(defun fimd-document--change (beg end before)
  "Send that the text BEFORE became what is from BEG to END."
  (save-restriction
    (widen)
    (let* ((conn (fimd-document-connection fimd-document))
           (encoding (fimd-document-encoding (fimd-connection-capabilities conn)))
           (start (fimd-document-position beg encoding)))
      (fimd-daemon-notify
       conn :textDocument/didChange
       (list :textDocument (fimd-document--versioned)
             :contentChanges
             (vector
              (if (eq before 'error)
                  (list :text (fimd-document--text (point-min) (point-max)))
                (list :range (list :start start
                                   :end (fimd-document--end-of start before encoding))
                      :text (fimd-document--text beg end)))))))))

(defun fimd-document-sync ()
  "Make the daemon's text that of the buffer, if it has it."
  (when (and fimd-document (not (equal (fimd-document-file fimd-document) buffer-file-name)))
    (fimd-document-close))
  (when fimd-document
    (save-restriction
      (widen)
      (track-changes-fetch (fimd-document-tracker fimd-document) #'fimd-document--change))))

(defun fimd-document-open ()
  "Open the buffer on our daemon, or bring it up to date there.
Return its connection, or nil while there is none."
  (when (fimd-daemon-running-p)
    (unless (or (not fimd-document)
                (eq (fimd-document-connection fimd-document) fimd-daemon-connection))
      (fimd-document-forget))
    (when fimd-document
      (fimd-document-sync))
    (unless fimd-document
      (fimd-document--open fimd-daemon-connection))
    (and fimd-document fimd-daemon-connection)))

(defun fimd-document-saved ()
  "Tell that the buffer was written."
  (when fimd-document
    (fimd-document-sync))
  (when fimd-document
    (fimd-daemon-notify (fimd-document-connection fimd-document) :textDocument/didSave
                        (list :textDocument (fimd-document-identifier)))))

(defun fimd-document-forget ()
  "Forget the document, of whose daemon nothing is left."
  (when fimd-document
    (track-changes-unregister (fimd-document-tracker fimd-document))
    (setq fimd-document nil)))

(defun fimd-document-close ()
  "Close the document."
  (when fimd-document
    (fimd-daemon-notify (fimd-document-connection fimd-document) :textDocument/didClose
                        (list :textDocument (fimd-document-identifier)))
    (fimd-document-forget)))

(provide 'fimd-document)
;;; fimd-document.el ends here
